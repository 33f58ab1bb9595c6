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
	"min": {apply: func(dst, a, b []int64) bool { least(dst, a, b); return false }},
	"max": {apply: func(dst, a, b []int64) bool { most(dst, a, b); return false }},
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
	"min": least[float64],
	"max": most[float64],
}

// intArithmetic applies an operator to two int64.
func intArithmetic(operator string, a, b node) node {
	return apply(table.Int64, intOps[operator].operation, a, b)
}

func (op intOp) operation(f *frame, args []vector) vector {
	a, b := &args[0], &args[1]
	out := vector{t: table.Int64, ints: make([]int64, f.rows), valid: both(a.valid, b.valid)}
	changed := false
	chunks(f.rows, func(from, to int) {
		x, y := a.intsAt(from, to), b.intsAt(from, to)
		if !op.apply(out.ints[from:to], x, y) || op.none == nil {
			return
		}
		for i := range x {
			if !op.none(x[i], y[i]) {
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
func floatArithmetic(operator string, a, b node) node {
	op := floatOps[operator]
	return apply(table.Float64, func(f *frame, args []vector) vector {
		a, b := &args[0], &args[1]
		out := vector{t: table.Float64, floats: make([]float64, f.rows), valid: both(a.valid, b.valid)}
		chunks(f.rows, func(from, to int) {
			op(out.floats[from:to], a.floatsAt(from, to), b.floatsAt(from, to))
		})
		out.nullIfNotFinite()
		return out
	}, asFloat(a), asFloat(b))
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

func least[T int64 | float64](dst, a, b []T) {
	for i := range dst {
		dst[i] = min(a[i], b[i])
	}
}

func most[T int64 | float64](dst, a, b []T) {
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
}

// floatFunction applies a function to each number as float64.
func floatFunction(fn func(float64) float64, arg node) node {
	return apply(table.Float64, func(f *frame, args []vector) vector {
		out := vector{t: table.Float64, floats: make([]float64, f.rows), valid: args[0].valid}
		chunks(f.rows, func(from, to int) {
			dst := out.floats[from:to]
			for i, x := range args[0].floatsAt(from, to) {
				dst[i] = fn(x)
			}
		})
		out.nullIfNotFinite()
		return out
	}, asFloat(arg))
}

// toInts cuts each float64 toward zero; what int64 cannot hold is null.
func toInts(f *frame, args []vector) vector {
	v := &args[0]
	out := vector{t: table.Int64, ints: make([]int64, f.rows), valid: v.valid}
	wide := false
	chunks(f.rows, func(from, to int) {
		ints := out.ints[from:to]
		for i, x := range v.floatsAt(from, to) {
			if x >= math.MinInt64 && x < -math.MinInt64 {
				ints[i] = int64(x)
				continue
			}
			if !wide {
				out.valid, wide = owned(out.valid, f.rows), true
			}
			out.valid.Clear(from + i)
		}
	})
	return out
}

// asFloat returns the node whose int64 values are float64; other types stay.
func asFloat(n node) node {
	if l, ok := n.(*literal); ok && l.t == table.Int64 {
		return newFloat(float64(l.value.(int64)))
	}
	if n.typ() == table.Int64 {
		return apply(table.Float64, toFloats, n)
	}
	return n
}

func toFloats(_ *frame, args []vector) vector {
	v := &args[0]
	out := vector{t: table.Float64, valid: v.valid, constant: v.constant, floats: make([]float64, len(v.ints))}
	for i, x := range v.ints {
		out.floats[i] = float64(x)
	}
	return out
}
