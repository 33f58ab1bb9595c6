package decode

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Field returns the natural Arrow field of a node below the schema's root.
func Field(n *metadata.Node) (arrow.Field, error) {
	v, err := new(planner).plan(n, 0, 0, false)
	if err != nil {
		return arrow.Field{}, err
	}
	return v.field, nil
}

// Column decodes one column of the table, row group by row group: Open, then
// Next until the rows of the group are read.
type Column struct {
	root   *nested
	leaves []*leaf
	flat   bool
	mem    memory.Allocator
}

// New returns a Column of the node, below the schema's root. unz may be shared
// by the columns that one goroutine reads.
func New(n *metadata.Node, mem memory.Allocator, unz *compress.Decompressor) (*Column, error) {
	c := &Column{flat: n.Flat(), mem: mem}
	p := &planner{newLeaf: func(n *metadata.Node, t arrow.DataType) *leaf {
		l := &leaf{node: n, sink: newSink(n, t, mem), unz: unz}
		if !c.flat {
			l.levels = &levels{slot: n.SlotDef}
		}
		c.leaves = append(c.leaves, l)
		return l
	}}
	var err error
	c.root, err = p.plan(n, 0, 0, false)
	return c, err
}

// Field returns the column's natural Arrow field.
func (c *Column) Field() arrow.Field { return c.root.field }

// Slow says why the column takes the general path; empty if it does not.
func (c *Column) Slow() string {
	if c.flat {
		return ""
	}
	return "nested: assembled from levels"
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
func (c *Column) Open(chunks []metadata.Chunk, pages [][]byte) {
	for i, l := range c.leaves {
		l.open(chunks[i], pages[i])
	}
}

// Next decodes the next rows of the row group, of which there must be as many.
// The caller releases the array.
func (c *Column) Next(rows int) (arrow.Array, error) {
	if l := c.leaves[0]; c.flat {
		if err := l.rows(rows); err != nil {
			return nil, err
		}
		return l.sink.finish(&l.valid), nil
	}
	for _, l := range c.leaves {
		if err := l.nestedRows(rows); err != nil {
			return nil, fmt.Errorf("field %s: %w", strings.Join(l.node.Path[1:], "."), err)
		}
	}
	return c.root.build(c.mem)
}

// Done fails if the row group has values beyond the rows that were read.
func (c *Column) Done() error {
	for _, l := range c.leaves {
		if l.left > 0 || l.ahead > 0 || (l.levels != nil && len(l.levels.aheadDef) > 0) {
			return errors.New("more rows than the row group has")
		}
	}
	return nil
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
