package encode

import (
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
)

// present tells which rows of an array are not null.
type present struct {
	bits   []byte // nil if all are
	offset int    // of row 0 in bits
}

func presentIn(a arrow.Array) present {
	if a.NullN() == 0 {
		return present{}
	}
	return present{bits: a.NullBitmapBytes(), offset: a.Data().Offset()}
}

func (p present) at(row int) bool {
	row += p.offset
	return p.bits[row>>3]>>(row&7)&1 != 0
}

// reserve makes room for n more elements in s, for as many again as it has if it
// must grow: append alone would copy a row group's values five times over.
func reserve[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return slices.Grow(s, max(n, len(s)))
}

// runs yields the longest runs of present rows within [from, to).
func (p present) runs(from, to int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		if p.bits == nil {
			yield(from, to)
			return
		}
		for from < to {
			if !p.at(from) {
				from++
				continue
			}
			end := from + 1
			for end < to && p.at(end) {
				end++
			}
			if !yield(from, end) {
				return
			}
			from = end
		}
	}
}
