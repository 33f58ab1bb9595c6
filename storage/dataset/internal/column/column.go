package column

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/dataset/internal/compress"
	"github.com/thalweg/thalweg/storage/dataset/internal/format"
)

// Field returns the natural Arrow field of a node below the schema's root.
func Field(n *format.Node) (arrow.Field, error) {
	t, err := fieldType(n)
	if err != nil {
		return arrow.Field{}, err
	}
	return arrow.Field{Name: n.Name, Type: t, Nullable: n.Repetition == format.Optional}, nil
}

func fieldType(n *format.Node) (arrow.DataType, error) {
	if n.Flat() {
		return leafType(n)
	}
	return nil, fmt.Errorf("nested column: %w", ErrUnsupported)
}

// Column decodes one column of the table, row group by row group: Open, then
// Next until the rows of the group are read.
type Column struct {
	field  arrow.Field
	leaves []*leaf
	flat   bool
	mem    memory.Allocator
}

// New returns a Column of the node, below the schema's root. unz may be shared
// by the columns that one goroutine reads.
func New(n *format.Node, mem memory.Allocator, unz *compress.Decompressor) (*Column, error) {
	f, err := Field(n)
	if err != nil {
		return nil, err
	}
	c := &Column{field: f, flat: n.Flat(), mem: mem}
	if c.flat {
		c.leaves = []*leaf{{node: n, sink: newSink(n, f.Type, mem), unz: unz}}
	}
	return c, nil
}

// Field returns the column's natural Arrow field.
func (c *Column) Field() arrow.Field { return c.field }

// Slow says why the column takes the general path; empty if it does not.
func (c *Column) Slow() string {
	if c.flat {
		return ""
	}
	return "nested"
}

// Chunks returns the indices of the column chunks that the column needs.
func (c *Column) Chunks() []int {
	at := make([]int, len(c.leaves))
	for i, l := range c.leaves {
		at[i] = l.node.Leaf
	}
	return at
}

// Open begins a row group: chunks[i] and the bytes of its pages belong to
// Chunks()[i]. pages must stay as they are until the group is read.
func (c *Column) Open(chunks []format.Chunk, pages [][]byte) {
	for i, l := range c.leaves {
		l.open(chunks[i], pages[i])
	}
}

// Next decodes the next rows of the row group, of which there must be as many.
// The caller releases the array.
func (c *Column) Next(rows int) (arrow.Array, error) {
	l := c.leaves[0]
	if err := l.rows(rows); err != nil {
		return nil, err
	}
	return l.sink.finish(&l.valid), nil
}

// Pages returns the data pages begun so far.
func (c *Column) Pages() int64 {
	var n int64
	for _, l := range c.leaves {
		n += l.pages
	}
	return n
}

// Repaired returns the distinct values so far in which bytes that are not UTF-8
// were replaced.
func (c *Column) Repaired() int64 {
	var n int64
	for _, l := range c.leaves {
		if s, ok := l.sink.(*stringSink); ok {
			n += s.repaired
		}
	}
	return n
}

// Close releases what the column holds.
func (c *Column) Close() {
	for _, l := range c.leaves {
		l.sink.discard()
	}
}
