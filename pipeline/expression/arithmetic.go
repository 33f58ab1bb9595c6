package expression

import (
	"math"
	"math/bits"

	"github.com/thalweg/thalweg/pipeline/table"
)

// intOp is an operator of int64 values. apply writes a op b for each element
// and reports whether any of them may have no result; none tells which.
type intOp struct {
	apply func(dst, a, b []int64) (suspect bool)
	none  func(a, b int64) bool
}

var intOps = map[string]intOp{
	"+":   {addInts, func(a, b int64) bool { s := a + b; return (a^s)&(b^s) < 0 }},
	"-":   {subtractInts, func(a, b int64) bool { return (a^b)&(a^(a-b)) < 0 }},
	"*":   {multiplyInts, multiplyOverflows},
	"%":   {remainderInts, func(_, b int64) bool { return b == 0 }},
	"min": {apply: minInts},
	"max": {apply: maxInts},
}

// floatOps are the operators of float64 values; a result that is not finite is
// none.
var floatOps = map[string]func(dst, a, b []float64){
	"+":   addFloats,
	"-":   subtractFloats,
	"*":   multiplyFloats,
	"/":   divideFloats,
	"**":  powFloats,
	"^":   powFloats,
	"min": minFloats,
	"max": maxFloats,
}

// intArithmetic applies an operator to two int64.
type intArithmetic struct {
	op          intOp
	left, right node
}

func (n *intArithmetic) typ() table.Type { return table.Int64 }

func (n *intArithmetic) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	out := vector{t: table.Int64, ints: make([]int64, f.rows), valid: both(a.valid, b.valid)}
	changed := false
	chunks(f.rows, func(from, to int) {
		x, y := a.intsAt(from, to), b.intsAt(from, to)
		if !n.op.apply(out.ints[from:to], x, y) || n.op.none == nil {
			return
		}
		for i := range x {
			if !n.op.none(x[i], y[i]) {
				continue
			}
			if !changed {
				out.valid, changed = owned(out.valid, f.rows), true
			}
			out.valid.Clear(from + i)
		}
	})
	return out
}

// floatArithmetic applies an operator to two numbers as float64.
type floatArithmetic struct {
	apply       func(dst, a, b []float64)
	left, right node
}

func (n *floatArithmetic) typ() table.Type { return table.Float64 }

func (n *floatArithmetic) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	a, b = a.toFloats(), b.toFloats()
	out := vector{t: table.Float64, floats: make([]float64, f.rows), valid: both(a.valid, b.valid)}
	chunks(f.rows, func(from, to int) {
		n.apply(out.floats[from:to], a.floatsAt(from, to), b.floatsAt(from, to))
	})
	out.nullIfNotFinite()
	return out
}

func addInts(dst, a, b []int64) bool {
	a, b = a[:len(dst)], b[:len(dst)]
	var over int64
	for i := range dst {
		s := a[i] + b[i]
		over |= (a[i] ^ s) & (b[i] ^ s)
		dst[i] = s
	}
	return over < 0
}

func subtractInts(dst, a, b []int64) bool {
	a, b = a[:len(dst)], b[:len(dst)]
	var over int64
	for i := range dst {
		d := a[i] - b[i]
		over |= (a[i] ^ b[i]) & (a[i] ^ d)
		dst[i] = d
	}
	return over < 0
}

// multiplyInts suspects all but factors of 32 bits, whose products fit.
func multiplyInts(dst, a, b []int64) bool {
	a, b = a[:len(dst)], b[:len(dst)]
	var wide int64
	for i := range dst {
		wide |= (a[i] - int64(int32(a[i]))) | (b[i] - int64(int32(b[i])))
		dst[i] = a[i] * b[i]
	}
	return wide != 0
}

func multiplyOverflows(a, b int64) bool {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	limit := uint64(math.MaxInt64)
	if (a < 0) != (b < 0) {
		limit++
	}
	return hi != 0 || lo > limit
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func remainderInts(dst, a, b []int64) (zero bool) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		if b[i] == 0 {
			zero = true
			continue
		}
		dst[i] = a[i] % b[i]
	}
	return zero
}

func minInts(dst, a, b []int64) bool {
	for i := range dst {
		dst[i] = min(a[i], b[i])
	}
	return false
}

func maxInts(dst, a, b []int64) bool {
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
	return false
}

func addFloats(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func subtractFloats(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func multiplyFloats(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func divideFloats(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

func powFloats(dst, a, b []float64) {
	for i := range dst {
		dst[i] = math.Pow(a[i], b[i])
	}
}

func minFloats(dst, a, b []float64) {
	for i := range dst {
		dst[i] = min(a[i], b[i])
	}
}

func maxFloats(dst, a, b []float64) {
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
}

// floatFunction applies a function to each number as float64.
type floatFunction struct {
	fn  func(float64) float64
	arg node
}

func (n *floatFunction) typ() table.Type { return table.Float64 }

func (n *floatFunction) eval(f *frame) vector {
	v := n.arg.eval(f)
	v = v.toFloats()
	out := vector{t: table.Float64, floats: make([]float64, f.rows), valid: v.valid}
	chunks(f.rows, func(from, to int) {
		dst := out.floats[from:to]
		for i, x := range v.floatsAt(from, to) {
			dst[i] = n.fn(x)
		}
	})
	out.nullIfNotFinite()
	return out
}

// toInt cuts each float64 toward zero; what int64 cannot hold is null.
type toInt struct{ arg node }

func (n *toInt) typ() table.Type { return table.Int64 }

func (n *toInt) eval(f *frame) vector {
	v := n.arg.eval(f)
	fits := func(x float64) bool { return x >= math.MinInt64 && x < -math.MinInt64 }
	out := vector{t: table.Int64, ints: make([]int64, f.rows)}
	wide := false
	chunks(f.rows, func(from, to int) {
		out := out.ints[from:to]
		for i, x := range v.floatsAt(from, to) {
			if fits(x) {
				out[i] = int64(x)
			} else {
				wide = true
			}
		}
	})
	out.valid = v.valid
	if wide {
		out.valid = owned(v.valid, f.rows)
		chunks(f.rows, func(from, to int) {
			for i, x := range v.floatsAt(from, to) {
				if !fits(x) {
					out.valid.Clear(from + i)
				}
			}
		})
	}
	return out
}

// toFloat yields each int64 as float64.
type toFloat struct{ arg node }

func (n *toFloat) typ() table.Type { return table.Float64 }

func (n *toFloat) eval(f *frame) vector {
	v := n.arg.eval(f)
	return v.toFloats()
}
