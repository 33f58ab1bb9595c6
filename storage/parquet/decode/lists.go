package decode

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// maxElements bounds the elements of one batch of a column of lists: run lengths
// let a few bytes stand for billions.
const maxElements = 1 << 22

var (
	errLevels    = errors.New("levels that no lists have")
	errFewerRows = errors.New("fewer rows than the row group has")
)

// lists are the levels of a column of lists of values, one level deep. An entry is
// an element, or a row whose list is null or empty.
type lists struct {
	dtype    *arrow.ListType
	nullable bool   // a list may be null; its definition level is then 0
	slot     uint32 // the definition level from which an entry is an element
	most     uint32 // that of an element that is not null

	reps, defs []uint32 // of the entries that were read and are in no batch yet
	memory     [2 * stepRows]uint32

	// Of the batch.
	offsets  []int32
	elements int
	valid    encoding.Bitmap
	open     bool // the last row's list may go on
}

// listsOf returns the levels of a node that is a list of values, in any of its
// historic forms, and the leaf that has the values; nil for other nodes.
func listsOf(n *metadata.Node, t arrow.DataType) (*lists, *metadata.Node) {
	list, ok := t.(*arrow.ListType)
	if !ok || arrow.IsNested(list.Elem().ID()) || list.Elem().ID() == arrow.DICTIONARY {
		return nil, nil
	}
	l := &lists{dtype: list, nullable: n.Repetition == format.Optional}
	for ; ; n = n.Children[0] {
		switch n.Repetition {
		case format.Optional:
			l.most++
		case format.Repeated:
			l.most++
			l.slot = l.most
		}
		if n.Leaf >= 0 {
			return l, n
		}
	}
}

// width is the bits of a definition level.
func (l *lists) width() uint { return uint(bits.Len32(l.most)) }

// nextLists is Next of a column of lists.
func (c *Column) nextLists(rows int) (arrow.Array, error) {
	l := c.lists
	c.sink.begin(l.elements + l.elements/8) // about as many as in the batch before
	c.valid.Reset()
	l.valid.Reset()
	l.offsets, l.elements, l.open = append(l.offsets[:0], 0), 0, false
	for {
		if len(l.defs) == 0 {
			if c.left == 0 && c.ahead == 0 && len(l.offsets) > rows {
				break
			}
			if err := c.readLevels(); err != nil {
				return nil, fmt.Errorf("page %d: %w", c.page, err)
			}
		}
		if err := c.someEntries(rows); err != nil {
			return nil, fmt.Errorf("page %d: %w", c.page, err)
		}
		if len(l.defs) > 0 {
			break
		}
	}
	return l.wrap(c.sink.finish(&c.valid), c.mem), nil
}

// readLevels reads the levels of the next entries of the current page.
func (c *Column) readLevels() error {
	if c.left == 0 {
		if c.ahead == 0 {
			return errFewerRows
		}
		if err := c.nextPage(); err != nil {
			return err
		}
	}
	l := c.lists
	n := min(c.left, stepRows)
	l.reps, l.defs = l.memory[:n], l.memory[stepRows:][:n]
	if err := c.rep.Read(l.reps); err != nil {
		return fmt.Errorf("repetition levels: %w", err)
	}
	if err := c.def.Read(l.defs); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	if highest(l.reps) > 1 || highest(l.defs) > l.most {
		return errLevels
	}
	c.left -= n
	return nil
}

// someEntries takes the entries that were read into the batch, up to one that
// begins the row after its last.
func (c *Column) someEntries(rows int) error {
	l := c.lists
	from, n := c.valid.Len(), 0
	lists, elements := 0, 0 // that are there, since the last one that is null
	for ; n < len(l.defs); n++ {
		def := l.defs[n]
		if l.reps[n] == 0 {
			if len(l.offsets) > rows {
				break
			}
			l.offsets = append(l.offsets, 0)
			if l.open = def >= l.slot; def > 0 || !l.nullable {
				lists++
			} else {
				l.valid.Repeat(true, lists)
				l.valid.Repeat(false, 1)
				lists = 0
			}
		} else if !l.open || def < l.slot {
			return errLevels
		}
		if def == l.most {
			elements++
		} else if def >= l.slot {
			c.valid.Repeat(true, elements)
			c.valid.Repeat(false, 1)
			elements = 0
		}
		l.offsets[len(l.offsets)-1] = int32(c.valid.Len() + elements)
	}
	l.valid.Repeat(true, lists)
	c.valid.Repeat(true, elements)
	l.reps, l.defs = l.reps[n:], l.defs[n:]
	slots := c.valid.Len() - from
	if l.elements += slots; l.elements > maxElements {
		return fmt.Errorf("lists of more than %d elements: %w", maxElements, encoding.ErrTooLarge)
	}
	present := c.valid.Ones(from, from+slots)
	if err := c.append(present); err != nil {
		return err
	}
	if present < slots {
		c.sink.spread(&c.valid, from, slots, present)
	}
	return nil
}

// wrap returns the lists of the batch. It takes the elements over.
func (l *lists) wrap(elements arrow.Array, mem memory.Allocator) arrow.Array {
	defer elements.Release()
	nulls := validity(&l.valid, mem)
	defer release(nulls)
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	buf.Resize(4 * len(l.offsets))
	copy(encoding.Words[int32](buf.Bytes()), l.offsets)
	data := array.NewData(l.dtype, len(l.offsets)-1, []*memory.Buffer{nulls, buf}, []arrow.ArrayData{elements.Data()}, l.valid.Zeros(), 0)
	defer data.Release()
	return array.NewListData(data)
}
