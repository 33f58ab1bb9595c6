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

// newBools returns the bools of rows, all false, of which valid are not null.
func newBools(rows int, valid table.Mask) vector {
	return vector{t: table.Bool, bits: table.NewMask(rows), valid: valid}
}

// compareNumbers compares two int64, two timestamps or two float64.
func compareNumbers[T int64 | float64](op comparison, at func(*vector, int, int) []T) operation {
	return func(f *frame, args []vector) vector {
		a, b := &args[0], &args[1]
		if op.swap {
			a, b = b, a
		}
		out := newBools(f.rows, both(a.valid, b.valid))
		chunks(f.rows, func(from, to int) {
			compareChunk(op.loop, out.bits.Words[from/64:], at(a, from, to), at(b, from, to))
		})
		return op.done(out)
	}
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
func compareText(op comparison) operation {
	return func(f *frame, args []vector) vector {
		a, b := &args[0], &args[1]
		out := newBools(f.rows, both(a.valid, b.valid))
		x, y := a.text.all(), b.text.all()
		for i := range f.rows {
			if out.valid.Words != nil && !out.valid.Has(i) {
				continue
			}
			if op.holds(cmp.Compare(x[a.idsAt(i, i+1)[0]], y[b.idsAt(i, i+1)[0]])) {
				out.bits.Set(i)
			}
		}
		return out
	}
}

// compareBools tests two bools for equality.
func compareBools(op comparison) operation {
	return func(f *frame, args []vector) vector {
		a, b := &args[0], &args[1]
		out := newBools(f.rows, both(a.valid, b.valid))
		for i := range out.bits.Words {
			out.bits.Words[i] = a.bits.Words[i] ^ b.bits.Words[i]
		}
		// The differing rows are marked: turn round for ==.
		return comparison{not: !op.not}.done(out)
	}
}

// inList tests numbers or timestamps against a sorted list.
func inList[T int64 | float64](list []T, at func(*vector, int, int) []T) operation {
	return func(f *frame, args []vector) vector {
		out := newBools(f.rows, args[0].valid)
		chunks(f.rows, func(from, to int) {
			memberChunk(out.bits.Words[from/64:], at(&args[0], from, to), list)
		})
		out.clearNull()
		return out
	}
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
