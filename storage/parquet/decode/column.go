package decode

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Column decodes one column of the table, row group by row group: Open, then
// Next until the rows of the group are read. Its memory is reused from group to
// group.
type Column struct {
	field    arrow.Field
	index    int // of its chunk in a row group
	nullable bool
	lists    *lists // nil: a value or null a row
	sink     sink
	unz      *compress.Decompressor
	mem      memory.Allocator

	chunk   metadata.Chunk
	data    []byte // the pages not yet begun
	ahead   int64  // values, nulls included, in the pages not yet begun
	page    int    // ordinal of the current page in its chunk
	buffer  []byte // an uncompressed page
	hasDict bool

	// The current data page.
	left    int // values not yet decoded, nulls included
	present int // of them not null, where the header says so; else -1
	indexed bool
	indices encoding.Hybrid
	def     encoding.Hybrid
	rep     encoding.Hybrid // of lists

	valid encoding.Bitmap // of the values of the batch, where they are nullable
}

// New returns a Column of the node, below the schema's root. unz may be shared
// by the columns that one goroutine reads.
func New(n *metadata.Node, mem memory.Allocator, unz *compress.Decompressor) (*Column, error) {
	f, err := Field(n)
	if err != nil {
		return nil, err
	}
	c := &Column{field: f, index: n.Leaf, nullable: f.Nullable, unz: unz, mem: mem}
	if n.Flat() {
		c.sink = newSink(n, f.Type, mem)
	} else if l, leaf := listsOf(n, f.Type); l != nil {
		c.lists, c.index, c.sink = l, leaf.Leaf, newSink(leaf, l.dtype.Elem(), mem)
	}
	if c.sink == nil {
		return nil, fmt.Errorf("columns of type %v are %w", f.Type, ErrUnsupported)
	}
	return c, nil
}

// Field returns the column's natural Arrow field.
func (c *Column) Field() arrow.Field { return c.field }

// Chunk returns the index of the column chunk that the column needs.
func (c *Column) Chunk() int { return c.index }

// Open begins a row group, whose chunk of the column has these pages. They must
// stay as they are until the group is read.
func (c *Column) Open(chunk metadata.Chunk, pages []byte) {
	c.chunk, c.data, c.ahead = chunk, pages, chunk.Values
	c.page, c.left, c.hasDict = -1, 0, false
	if c.lists != nil {
		c.lists.reps, c.lists.defs = nil, nil
	}
	c.sink.reset()
}

// Next decodes the next rows of the row group, of which there must be as many.
// The caller releases the array.
func (c *Column) Next(rows int) (arrow.Array, error) {
	if c.lists != nil {
		return c.nextLists(rows)
	}
	c.sink.begin(rows)
	c.valid.Reset()
	for rows > 0 {
		var err error
		if c.left == 0 {
			err = c.nextPage()
		}
		n := min(rows, c.left)
		if err == nil {
			err = c.someRows(n)
		}
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", c.page, err)
		}
		c.left -= n
		rows -= n
	}
	return c.sink.finish(&c.valid), nil
}

// someRows decodes n rows, all of the current page.
func (c *Column) someRows(n int) error {
	if !c.nullable {
		return c.append(n)
	}
	from := c.valid.Len()
	if err := c.def.ReadBits(&c.valid, n); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	present := c.valid.Ones(from, from+n)
	if err := c.append(present); err != nil {
		return err
	}
	if present < n {
		c.sink.spread(&c.valid, from, n, present)
	}
	return nil
}

// Done fails if the row group has values beyond the rows that were read.
func (c *Column) Done() error {
	if c.left > 0 || c.ahead > 0 || c.lists != nil && len(c.lists.defs) > 0 {
		return errors.New("more rows than the row group has")
	}
	return nil
}

// Close releases what the column holds.
func (c *Column) Close() { c.sink.discard() }
