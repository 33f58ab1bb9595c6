package event

import (
	"fmt"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// cellState is what an event has said so far about one column.
type cellState uint8

const (
	absent   cellState = iota
	null               // the field is null, at byte column.at
	illTyped           // column.found stands at byte column.at instead of a value
	filled             // the value is in the column's buffer
)

// column is one column of the batch being built and its cell in the event
// being read.
type column struct {
	name     string
	typ      table.Type
	from     *origin // what fills it around the event; nil: a field of the event
	nullable bool
	skip     bool // TrainingOnly: not decoded, all null
	// token is the field as producers nearly always spell it, "name":, or empty
	// if the name has to be escaped.
	token string

	// The cell: valid while stamp is the decoder's.
	stamp   uint64
	state   cellState
	at      int // byte of the event; where ordinal is set, the field's position from 1
	found   string
	ordinal bool

	// The buffers of the batch; of the three slices the one for typ is set and
	// shares the memory of buf. Bools are bytes until finish packs them.
	buf   *memory.Buffer
	int64 []int64 // int64 and timestamp
	float []float64
	index []int32 // string: positions in words
	bools []byte
	words dictionary
	nulls []int // rows that are null, rising
}

func newColumn(c table.Column, seed hashSeed) column {
	col := column{name: c.Name, typ: c.Type, nullable: c.Nullable, skip: c.TrainingOnly}
	if quoted := appendString(nil, c.Name); len(quoted) == len(c.Name)+2 {
		col.token = string(quoted) + ":"
	}
	if c.Type == table.String {
		col.words = newDictionary(seed)
	}
	return col
}

// want says what the column takes.
func (c *column) want(times *timestampParser) string {
	if c.typ == table.Timestamp {
		return "timestamp (" + times.describe() + ")"
	}
	return string(c.typ)
}

// title names the column in a reason.
func (c *column) title() string {
	if c.from != nil {
		return fmt.Sprintf("column %q from %s", c.name, c.from)
	}
	return fmt.Sprintf("field %q", c.name)
}

// place says where in the event the cell's value stands.
func (c *column) place() string {
	switch {
	case c.from != nil:
		return ""
	case c.ordinal:
		return fmt.Sprintf(" in position %d", c.at)
	}
	return fmt.Sprintf(" at byte %d", c.at)
}

// claim makes the column's cell this event's and gives it state s.
func (d *cells) claim(c *column, s cellState) {
	if c.stamp == d.stamp && c.state == filled {
		d.filled--
	}
	c.stamp, c.state = d.stamp, s
	if s == filled {
		d.filled++
	}
}

// blame marks the cell as holding something that is not of the column's type.
func (d *cells) blame(c *column, at int, found string) {
	d.claim(c, illTyped)
	c.at, c.found = at, found
}

func (c *column) setNull(row int) {
	c.nulls = append(c.nulls, row)
	switch c.typ {
	case table.Int64, table.Timestamp:
		c.int64[row] = 0
	case table.Float64:
		c.float[row] = 0
	case table.Bool:
		c.bools[row] = 0
	case table.String:
		c.index[row] = 0
	}
}

// begin readies the buffers for at most rows rows.
func (d *cells) begin(rows int) {
	d.rows = 0
	if cap(d.rowIDs) < rows {
		d.rowIDs = make([]int64, rows)
	}
	d.rowIDs = d.rowIDs[:rows]
	for i := range d.cols {
		c := &d.cols[i]
		c.nulls = c.nulls[:0]
		if c.skip {
			continue
		}
		switch c.typ {
		case table.Int64, table.Timestamp:
			c.buf, c.int64 = newBuffer[int64](d.cfg.Allocator, rows)
		case table.Float64:
			c.buf, c.float = newBuffer[float64](d.cfg.Allocator, rows)
		case table.String:
			c.buf, c.index = newBuffer[int32](d.cfg.Allocator, rows)
			c.words.begin()
		case table.Bool:
			if cap(c.bools) < rows {
				c.bools = make([]byte, rows)
			}
			c.bools = c.bools[:rows]
		}
	}
}

// newBuffer returns a buffer for rows values and the slice that is its memory.
func newBuffer[T int32 | int64 | float64](alloc memory.Allocator, rows int) (*memory.Buffer, []T) {
	buf := memory.NewResizableBuffer(alloc)
	var zero T
	buf.Resize(rows * int(unsafe.Sizeof(zero)))
	if rows == 0 {
		return buf, nil
	}
	return buf, unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(buf.Bytes()))), rows)
}

// finish makes the batch of the rows accepted.
func (d *cells) finish() arrow.Record {
	columns := make([]arrow.Array, 0, len(d.cols)+1)
	for i := range d.cols {
		columns = append(columns, d.cols[i].array(d.cfg.Allocator, d.rows))
	}
	buf, ids := newBuffer[int64](d.cfg.Allocator, d.rows)
	copy(ids, d.rowIDs[:d.rows])
	columns = append(columns, newArray(arrow.PrimitiveTypes.Int64, d.rows, 0, nil, buf))
	rec := array.NewRecord(d.arrow, columns, int64(d.rows))
	for _, a := range columns {
		a.Release()
	}
	return rec
}

// array makes the column's array of rows rows and lets go of its buffers.
func (c *column) array(alloc memory.Allocator, rows int) arrow.Array {
	if c.skip {
		return array.MakeArrayOfNull(alloc, c.typ.ArrowType(), rows)
	}
	validity := c.validity(alloc, rows)
	switch c.typ {
	case table.String:
		c.buf.ResizeNoShrink(rows * arrow.Int32SizeBytes)
		index := newArray(arrow.PrimitiveTypes.Int32, rows, len(c.nulls), validity, c.buf)
		words := c.words.finish()
		a := array.NewDictionaryArray(c.typ.ArrowType(), index, words)
		index.Release()
		words.Release()
		c.buf, c.index = nil, nil
		return a
	case table.Bool:
		bits := memory.NewResizableBuffer(alloc)
		bits.Resize(int(bitutil.BytesForBits(int64(rows))))
		packBools(bits.Bytes(), c.bools[:rows])
		return newArray(c.typ.ArrowType(), rows, len(c.nulls), validity, bits)
	default:
		c.buf.ResizeNoShrink(rows * arrow.Int64SizeBytes)
		a := newArray(c.typ.ArrowType(), rows, len(c.nulls), validity, c.buf)
		c.buf, c.int64, c.float = nil, nil, nil
		return a
	}
}

// validity returns the bitmap that clears the null rows, or nil if there are
// none.
func (c *column) validity(alloc memory.Allocator, rows int) *memory.Buffer {
	if len(c.nulls) == 0 {
		return nil
	}
	buf := memory.NewResizableBuffer(alloc)
	buf.Resize(int(bitutil.BytesForBits(int64(rows))))
	bits := buf.Bytes()
	clear(bits)
	bitutil.SetBitsTo(bits, 0, int64(rows), true)
	for _, row := range c.nulls {
		bitutil.ClearBit(bits, row)
	}
	return buf
}

// newArray makes an array of validity and values and takes both over.
func newArray(typ arrow.DataType, rows, nulls int, validity, values *memory.Buffer) arrow.Array {
	data := array.NewData(typ, rows, []*memory.Buffer{validity, values}, nil, nulls, 0)
	if validity != nil {
		validity.Release()
	}
	values.Release()
	a := array.MakeFromData(data)
	data.Release()
	return a
}

// packBools sets bit i of dst to bools[i].
func packBools(dst, bools []byte) {
	clear(dst)
	for i, b := range bools {
		dst[i>>3] |= b << (i & 7)
	}
}
