package emit

import (
	"iter"

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
