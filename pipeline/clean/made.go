package clean

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// madeOf returns the bytes of a batch that it does not share with the one it
// was made of, or, where all of it takes no more than enough, any number up to
// that.
func madeOf(batch, of arrow.Record, enough int) (n int) {
	for _, c := range batch.Columns() {
		eachBuffer(c, func(b *memory.Buffer) { n += b.Len() })
	}
	if n <= enough {
		return n
	}
	known := make(map[*memory.Buffer]bool)
	for _, c := range of.Columns() {
		eachBuffer(c, func(b *memory.Buffer) { known[b] = true })
	}
	n = 0
	for _, c := range batch.Columns() {
		eachBuffer(c, func(b *memory.Buffer) {
			if !known[b] {
				n += b.Len()
			}
			known[b] = true
		})
	}
	return n
}

// eachBuffer calls fn for the buffers of a column and of its dictionary or elements.
func eachBuffer(c arrow.Array, fn func(*memory.Buffer)) {
	buffers := c.Data().Buffers()
	for _, e := range c.Data().Children() {
		buffers = slices.Concat(buffers, e.Buffers())
	}
	if d, ok := c.(*array.Dictionary); ok {
		buffers = slices.Concat(buffers, d.Data().Dictionary().Buffers())
	}
	for _, b := range buffers {
		if b != nil {
			fn(b)
		}
	}
}
