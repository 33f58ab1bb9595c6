package event

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// listCells are the lists of a column: the elements of its rows, one after the other.
// Behind those of the rows accepted are those of the event being read.
type listCells struct {
	element column  // the cell of one element
	ends    []int32 // by row, where its elements end

	// Of the elements; of the first three the one for their type is set.
	ints   []int64
	floats []float64
	bools  []byte
	there  []bool // it is not null

	// The event's first element that is none: its position from 1, what it is, and
	// where; 0: all are.
	bad   int
	found string
	at    int
}

func newListCells(element table.Type) *listCells {
	return &listCells{element: column{typ: element}}
}

// begin readies the lists for at most rows rows.
func (l *listCells) begin(rows int) {
	if cap(l.ends) < rows {
		l.ends = make([]int32, rows)
	}
	l.ends = l.ends[:rows]
	switch e := &l.element; {
	case e.typ == table.Int64 && cap(e.int64) < rows:
		e.int64 = make([]int64, rows)
	case e.typ == table.Float64 && cap(e.float) < rows:
		e.float = make([]float64, rows)
	case e.typ == table.Bool && cap(e.bools) < rows:
		e.bools = make([]byte, rows)
	}
	e := &l.element
	e.int64, e.float, e.bools = e.int64[:cap(e.int64)], e.float[:cap(e.float)], e.bools[:cap(e.bools)]
	l.cut(0)
}

// cut forgets the elements behind those of so many rows.
func (l *listCells) cut(rows int) {
	n := 0
	if rows > 0 {
		n = int(l.ends[rows-1])
	}
	l.there, l.bad = l.there[:n], 0
	switch l.element.typ {
	case table.Int64:
		l.ints = l.ints[:n]
	case table.Float64:
		l.floats = l.floats[:n]
	case table.Bool:
		l.bools = l.bools[:n]
	}
}

// openList begins the list of a column in this event and returns the cell that its
// elements are read into, each followed by push.
func (d *Cells) openList(c *column) *column {
	c.list.cut(d.rows)
	return &c.list.element
}

// push takes in the element that was read.
func (d *Cells) push(c *column) {
	l, e := c.list, &c.list.element
	if e.state == filled {
		d.filled-- // it is no column
	}
	e.stamp = 0
	if e.state == illTyped && l.bad == 0 {
		start := 0
		if d.rows > 0 {
			start = int(l.ends[d.rows-1])
		}
		l.bad, l.found, l.at = len(l.there)-start+1, e.found, e.at
	}
	l.there = append(l.there, e.state == filled)
	switch {
	case e.typ == table.Int64 && e.state == filled:
		l.ints = append(l.ints, e.int64[d.rows])
	case e.typ == table.Int64:
		l.ints = append(l.ints, 0)
	case e.typ == table.Float64 && e.state == filled:
		l.floats = append(l.floats, e.float[d.rows])
	case e.typ == table.Float64:
		l.floats = append(l.floats, 0)
	case e.state == filled:
		l.bools = append(l.bools, e.bools[d.rows])
	default:
		l.bools = append(l.bools, 0)
	}
}

// closeList fills the column's cell with the elements pushed, or says which is wrong.
func (d *Cells) closeList(c *column) {
	if c.list.bad > 0 {
		d.blame(c, c.list.at, c.list.found)
		c.element = c.list.bad
		return
	}
	c.list.ends[d.rows] = int32(len(c.list.there))
	d.claim(c, filled)
}

// setNull has row without elements.
func (l *listCells) setNull(row int) {
	l.cut(row)
	l.ends[row] = int32(len(l.there))
}

// array makes the column of rows lists.
func (l *listCells) array(alloc memory.Allocator, t table.Type, rows int, valid table.Mask) arrow.Array {
	l.cut(rows)
	buf, offsets := table.Alloc(alloc, rows+1, arrow.Int32Traits)
	offsets[0] = 0
	copy(offsets[1:], l.ends[:rows])
	n := len(l.there)
	there := table.NewMask(n)
	for i, ok := range l.there {
		if ok {
			there.Set(i)
		}
	}
	var values *memory.Buffer
	switch l.element.typ {
	case table.Int64:
		var out []int64
		values, out = table.Alloc(alloc, n, arrow.Int64Traits)
		copy(out, l.ints)
	case table.Float64:
		var out []float64
		values, out = table.Alloc(alloc, n, arrow.Float64Traits)
		copy(out, l.floats)
	case table.Bool:
		values = packed(l.bools).Buffer(alloc)
	}
	elements := table.NewColumn(alloc, l.element.typ, n, values, there)
	defer elements.Release()
	return table.NewList(alloc, t, rows, buf, valid, elements)
}

// packed marks the bytes that are 1.
func packed(bools []byte) table.Mask {
	bits := table.NewMask(len(bools))
	for i, b := range bools {
		bits.Words[i>>6] |= uint64(b) << (i & 63)
	}
	return bits
}
