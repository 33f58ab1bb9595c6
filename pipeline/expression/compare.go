package expression

import (
	"cmp"
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
)

// bit is 1 for true.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// comparison is one of the six operators as one of three loops, perhaps with
// its sides swapped or its result turned round. Null and NaN never reach it,
// so that not less is greater or equal.
type comparison struct {
	loop      loop
	swap, not bool
}

type loop uint8

const (
	equal loop = iota
	less
)

var comparisons = map[string]comparison{
	"==": {loop: equal},
	"!=": {loop: equal, not: true},
	"<":  {loop: less},
	">":  {loop: less, swap: true},
	">=": {loop: less, not: true},
	"<=": {loop: less, swap: true, not: true},
}

// holds tells the result for a value compared to another as cmp.Compare does.
func (c comparison) holds(order int) bool {
	if c.swap {
		order = -order
	}
	return (c.loop == equal && order == 0 || c.loop == less && order < 0) != c.not
}

// compareInts compares two int64 or two timestamps.
type compareInts struct {
	op          comparison
	left, right node
}

func (n *compareInts) typ() table.Type { return table.Bool }

func (n *compareInts) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	if n.op.swap {
		a, b = b, a
	}
	out := vector{t: table.Bool, bits: table.NewMask(f.rows), valid: both(a.valid, b.valid)}
	chunks(f.rows, func(from, to int) {
		compareChunk(n.op.loop, out.bits.Words[from/64:], a.intsAt(from, to), b.intsAt(from, to))
	})
	return n.op.done(out)
}

// compareFloats compares two numbers as float64.
type compareFloats struct {
	op          comparison
	left, right node
}

func (n *compareFloats) typ() table.Type { return table.Bool }

func (n *compareFloats) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	a, b = a.toFloats(), b.toFloats()
	if n.op.swap {
		a, b = b, a
	}
	out := vector{t: table.Bool, bits: table.NewMask(f.rows), valid: both(a.valid, b.valid)}
	chunks(f.rows, func(from, to int) {
		compareChunk(n.op.loop, out.bits.Words[from/64:], a.floatsAt(from, to), b.floatsAt(from, to))
	})
	return n.op.done(out)
}

// compareChunk writes a bit per element of a and b.
func compareChunk[T int64 | float64](l loop, words []uint64, a, b []T) {
	for w := 0; w*64 < len(a); w++ {
		x := a[w*64 : min(w*64+64, len(a))]
		y := b[w*64:][:len(x)]
		var word uint64
		if l == less {
			for i := range x {
				word |= bit(x[i] < y[i]) << (i & 63)
			}
		} else {
			for i := range x {
				word |= bit(x[i] == y[i]) << (i & 63)
			}
		}
		words[w] = word
	}
}

// done turns the bits round where the operator does, and clears those of null
// rows.
func (c comparison) done(v vector) vector {
	if c.not {
		v.bits = v.bits.Not()
	}
	v.clearNull()
	return v
}

// clearNull clears the bits of null rows, as the invariant of a vector has it.
func (v *vector) clearNull() {
	if v.valid.Words != nil {
		v.bits.And(v.valid)
	}
}

// compareText compares two strings by their bytes. Where one is a literal an
// entryTest does it.
type compareText struct {
	op          comparison
	left, right node
}

func (n *compareText) typ() table.Type { return table.Bool }

func (n *compareText) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	out := vector{t: table.Bool, bits: table.NewMask(f.rows), valid: both(a.valid, b.valid)}
	x, y := a.text.all(), b.text.all()
	for i := range f.rows {
		if out.valid.Words != nil && !out.valid.Has(i) {
			continue
		}
		if n.op.holds(cmp.Compare(x[a.idsAt(i, i+1)[0]], y[b.idsAt(i, i+1)[0]])) {
			out.bits.Set(i)
		}
	}
	return out
}

// compareBools tests two bools for equality.
type compareBools struct {
	op          comparison
	left, right node
}

func (n *compareBools) typ() table.Type { return table.Bool }

func (n *compareBools) eval(f *frame) vector {
	a, b := n.left.eval(f), n.right.eval(f)
	out := vector{t: table.Bool, bits: table.NewMask(f.rows), valid: both(a.valid, b.valid)}
	for i := range out.bits.Words {
		out.bits.Words[i] = a.bits.Words[i] ^ b.bits.Words[i]
	}
	// The differing rows are marked: turn round for ==.
	return comparison{not: !n.op.not}.done(out)
}

// inList tests int64 or float64 values against a sorted list.
type inList struct {
	arg    node
	ints   []int64
	floats []float64
}

func (n *inList) typ() table.Type { return table.Bool }

func (n *inList) eval(f *frame) vector {
	v := n.arg.eval(f)
	if n.floats != nil {
		v = v.toFloats()
	}
	out := vector{t: table.Bool, bits: table.NewMask(f.rows), valid: v.valid}
	chunks(f.rows, func(from, to int) {
		words := out.bits.Words[from/64:]
		if n.floats != nil {
			memberChunk(words, v.floatsAt(from, to), n.floats)
		} else {
			memberChunk(words, v.intsAt(from, to), n.ints)
		}
	})
	out.clearNull()
	return out
}

// memberChunk writes a bit per element of a: whether list, sorted, has it.
func memberChunk[T int64 | float64](words []uint64, a, list []T) {
	// Up to so many comparisons beat a binary search with its mispredictions.
	const short = 16
	for w := 0; w*64 < len(a); w++ {
		var word uint64
		for i, x := range a[w*64 : min(w*64+64, len(a))] {
			var found uint64
			if len(list) <= short {
				for _, y := range list {
					found |= bit(x == y)
				}
			} else {
				_, ok := slices.BinarySearch(list, x)
				found = bit(ok)
			}
			word |= found << (i & 63)
		}
		words[w] = word
	}
}
