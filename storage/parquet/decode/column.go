package decode

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Field returns the natural Arrow field of a node below the schema's root.
func Field(n *metadata.Node) (arrow.Field, error) {
	p, err := planOf(n, 0, 0, false)
	return p.field, err
}

// Column decodes one column of the table, row group by row group: Open, then
// Next until the rows of the group are read.
type Column struct {
	plan plan
	leaf *leaf
	mem  memory.Allocator
}

// New returns a Column of the node, below the schema's root. unz may be shared
// by the columns that one goroutine reads.
func New(n *metadata.Node, mem memory.Allocator, unz *compress.Decompressor) (*Column, error) {
	p, err := planOf(n, 0, 0, false)
	if err != nil {
		return nil, err
	}
	c := &Column{plan: p, mem: mem}
	if p.leaf == nil {
		return nil, fmt.Errorf("columns of type %v are %w", p.field.Type, ErrUnsupported)
	}
	t, err := leafType(p.leaf)
	if err != nil {
		return nil, err
	}
	c.leaf = &leaf{node: p.leaf, sink: newSink(p.leaf, t, mem), unz: unz}
	if c.leaf.sink == nil {
		return nil, fmt.Errorf("columns of type %v are %w", p.field.Type, ErrUnsupported)
	}
	if !n.Flat() {
		c.leaf.levels = &levels{slot: p.leaf.SlotDef}
	}
	return c, nil
}

// Field returns the column's natural Arrow field.
func (c *Column) Field() arrow.Field { return c.plan.field }

// Nested reports whether the column is a list, assembled from levels.
func (c *Column) Nested() bool { return c.leaf.levels != nil }

// Chunk returns the index of the column chunk that the column needs.
func (c *Column) Chunk() int { return c.leaf.node.Leaf }

// Open begins a row group, whose chunk of the column has these pages. They must
// stay as they are until the group is read.
func (c *Column) Open(chunk metadata.Chunk, pages []byte) { c.leaf.open(chunk, pages) }

// Next decodes the next rows of the row group, of which there must be as many.
// The caller releases the array.
func (c *Column) Next(rows int) (arrow.Array, error) {
	l := c.leaf
	if !c.Nested() {
		if err := l.rows(rows); err != nil {
			return nil, err
		}
		return l.sink.finish(&l.valid), nil
	}
	if err := l.nestedRows(rows); err != nil {
		return nil, err
	}
	a := l.sink.finish(&l.valid)
	for i := len(c.plan.lists) - 1; i >= 0; i-- {
		var err error
		if a, err = c.plan.lists[i].wrap(a, l.levels, c.mem); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Done fails if the row group has values beyond the rows that were read.
func (c *Column) Done() error {
	if l := c.leaf; l.left > 0 || l.ahead > 0 || (c.Nested() && len(l.levels.aheadDef) > 0) {
		return errors.New("more rows than the row group has")
	}
	return nil
}

// Pages returns the data pages begun so far.
func (c *Column) Pages() int64 { return c.leaf.pages }

// Repaired returns the distinct values so far in which bytes that are not UTF-8
// were replaced.
func (c *Column) Repaired() int64 {
	if s, ok := c.leaf.sink.(*stringSink); ok {
		return s.repaired
	}
	return 0
}

// Close releases what the column holds.
func (c *Column) Close() { c.leaf.sink.discard() }
