package table

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Mask marks rows of one batch: bit i%64 of Words[i/64] is row i. Bits past
// Rows are zero.
type Mask struct {
	Words []uint64
	Rows  int
}

// NewMask returns a mask of n rows with none marked.
func NewMask(n int) Mask {
	return Mask{Words: make([]uint64, (n+63)/64), Rows: n}
}

// True marks the rows in which b is true; null is not.
func True(b *array.Boolean) Mask {
	m := NewMask(b.Len())
	if m.Rows == 0 {
		return m
	}
	data := b.Data()
	loadBits(m.Words, data.Buffers()[1].Bytes(), data.Offset(), m.Rows)
	if b.NullN() > 0 {
		m.And(Valid(b))
	}
	return m
}

// Valid marks the rows in which a is not null.
func Valid(a arrow.Array) Mask {
	m := NewMask(a.Len())
	if bitmap := a.NullBitmapBytes(); len(bitmap) > 0 && m.Rows > 0 {
		loadBits(m.Words, bitmap, a.Data().Offset(), m.Rows)
		return m
	}
	m.fill()
	return m
}

// MaskOf returns the mask of n rows that a bitmap, the form that Arrow uses, marks.
func MaskOf(bitmap []byte, n int) Mask {
	m := NewMask(n)
	if n > 0 {
		loadBits(m.Words, bitmap, 0, n)
	}
	return m
}

// Part returns rows [from, to) of a mask, of which from is a multiple of 64. It may
// share memory.
func (m Mask) Part(from, to int) Mask {
	words := m.Words[from/64 : (to+63)/64]
	if to%64 != 0 && to < m.Rows {
		words = slices.Clone(words)
	}
	part := Mask{Words: words, Rows: to - from}
	part.trim()
	return part
}

// fill marks every row.
func (m Mask) fill() {
	for i := range m.Words {
		m.Words[i] = ^uint64(0)
	}
	m.trim()
}

// trim clears the bits past Rows.
func (m Mask) trim() {
	if rest := m.Rows % 64; rest != 0 {
		m.Words[len(m.Words)-1] &= 1<<rest - 1
	}
}

// Has reports whether row i is marked.
func (m Mask) Has(i int) bool { return m.Words[i>>6]>>(i&63)&1 != 0 }

// Set marks row i.
func (m Mask) Set(i int) { m.Words[i>>6] |= 1 << (i & 63) }

// Clear unmarks row i.
func (m Mask) Clear(i int) { m.Words[i>>6] &^= 1 << (i & 63) }

// And keeps in m only the rows that other marks too.
func (m Mask) And(other Mask) {
	for i, w := range other.Words[:len(m.Words)] {
		m.Words[i] &= w
	}
}

// Or adds the rows that other marks to m.
func (m Mask) Or(other Mask) {
	for i, w := range other.Words[:len(m.Words)] {
		m.Words[i] |= w
	}
}

// Not returns the mask of the rows that m does not mark.
func (m Mask) Not() Mask {
	out := NewMask(m.Rows)
	for i, w := range m.Words {
		out.Words[i] = ^w
	}
	if m.Rows > 0 {
		out.trim()
	}
	return out
}

// Marked yields the rows marked, in order.
func (m Mask) Marked() iter.Seq[int] {
	return func(yield func(int) bool) {
		for w, word := range m.Words {
			for ; word != 0; word &= word - 1 {
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// Indicators returns 1 for true, 0 for false and for null.
func Indicators(a *array.Boolean) []int64 {
	out := make([]int64, a.Len())
	for w, word := range True(a).Words {
		for i := range out[w*64 : min(w*64+64, len(out))] {
			out[w*64+i] = int64(word >> i & 1)
		}
	}
	return out
}

// Count returns the number of rows marked.
func (m Mask) Count() int {
	n := 0
	for _, w := range m.Words {
		n += bits.OnesCount64(w)
	}
	return n
}

// span returns the first row marked and the one after the last; 0, 0 if none
// is.
func (m Mask) span() (from, to int) {
	for i, w := range m.Words {
		if w != 0 {
			if to == 0 {
				from = i*64 + bits.TrailingZeros64(w)
			}
			to = i*64 + 64 - bits.LeadingZeros64(w)
		}
	}
	return from, to
}

// loadBits copies n bits that begin at bit offset of src to the front of dst,
// whose last word is padded with zeros.
func loadBits(dst []uint64, src []byte, offset, n int) {
	src = src[offset>>3 : (offset+n+7)>>3]
	shift := offset & 7
	for i := range dst {
		at := i * 8
		var w uint64
		if at+8 <= len(src) {
			w = binary.LittleEndian.Uint64(src[at:])
		} else {
			w = partialWord(src[at:])
		}
		if shift != 0 {
			w >>= shift
			if at+8 < len(src) {
				w |= uint64(src[at+8]) << (64 - shift)
			}
		}
		dst[i] = w
	}
	Mask{Words: dst, Rows: n}.trim()
}

// partialWord reads fewer than eight bytes, the missing ones as zero.
func partialWord(b []byte) uint64 {
	var w uint64
	for i, x := range b {
		w |= uint64(x) << (8 * i)
	}
	return w
}

// Store writes m as a bitmap of (Rows+7)/8 bytes, the form that Arrow uses.
func (m Mask) Store(dst []byte) {
	for i := range (m.Rows + 7) / 8 {
		dst[i] = byte(m.Words[i>>3] >> (i & 7 * 8))
	}
}

// Present marks the rows in which a has a value: neither null nor, in a
// float64 column, NaN.
func Present(a arrow.Array) Mask {
	m := Valid(a)
	if f, ok := a.(*array.Float64); ok {
		for i, v := range f.Float64Values() {
			if v != v {
				m.Clear(i)
			}
		}
	}
	return m
}
