package event

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// cellState is what an event has said so far about one column.
type cellState uint8

const (
	absent   cellState = iota
	null               // the field is null, at byte column.at
	illTyped           // column.found stands at byte column.at instead of a value
	astray             // column.found stands at byte column.at instead of an object column.parent
	filled             // the value is in the column's buffer
)

// column is one column of the batch being built and its cell in the event
// being read.
type column struct {
	name     string
	typ      table.Type
	out      table.Type // of batches, which pii: hash makes another
	from     *origin    // what fills it around the event; nil: a field of the event
	nullable bool
	skip     bool  // TrainingOnly: not decoded, all null
	dropped  bool  // skipped, and no column of batches
	unread   bool  // nothing reads it: what does not fit is null
	unfit    int64 // values of rows that did not fit

	// The cell: valid while stamp is the decoder's.
	stamp   uint64
	state   cellState
	at      int // byte of the event; where ordinal is set, the field's position from 1
	found   string
	element int // of a list, that found is of, from 1; 0: of none
	parent  string
	ordinal bool

	// The buffers of the batch; of the three slices the one for typ, if it is no
	// list, is set and shares the memory of buf. Bools are bytes until finish packs them.
	buf   *memory.Buffer
	int64 []int64 // int64 and timestamp
	float []float64
	index []int32 // string: positions in words
	bools []byte
	words dictionary
	list  *listCells
	nulls []int // rows that are null, rising
}

func newColumn(c table.Column, seed hashSeed) column {
	dropped := c.PII == table.PIIDrop
	col := column{name: c.Name, typ: c.AtSource().Type, out: c.Type, nullable: c.Nullable, skip: c.TrainingOnly || dropped, dropped: dropped}
	if col.typ == table.String {
		col.words = newDictionary(seed)
	}
	if e := col.typ.Element(); e != "" {
		col.list = newListCells(e)
	}
	return col
}

// want says what the column takes.
func (c *column) want(times *timestampParser) string {
	if c.state == astray {
		return c.kind()
	}
	if c.typ == table.Timestamp {
		return "timestamp (timestamp_formats: " + times.describe() + ")"
	}
	return string(c.typ)
}

// kind is the type of what the cell wants.
func (c *column) kind() string {
	if c.state == astray {
		return fmt.Sprintf("an object in field %q", c.parent)
	}
	return string(c.typ)
}

// misfit reports whether something stands where the cell's value should.
func (s cellState) misfit() bool { return s == illTyped || s == astray }

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
	case c.element > 0 && c.at == nowhere:
		return fmt.Sprintf(" as element %d", c.element-1)
	case c.at == nowhere:
		return ""
	case c.element > 0:
		return fmt.Sprintf(" as element %d, at byte %d", c.element-1, c.at)
	}
	return fmt.Sprintf(" at byte %d", c.at)
}

// claim makes the column's cell this event's and gives it state s.
func (d *Cells) claim(c *column, s cellState) {
	if c.stamp == d.stamp && c.state == filled {
		d.filled--
	}
	c.stamp, c.state = d.stamp, s
	if s == filled {
		d.filled++
	}
}

// setInt fills a cell of an int64 or a timestamp.
func (d *Cells) setInt(c *column, v int64) {
	c.int64[d.rows] = v
	d.claim(c, filled)
}

func (d *Cells) setFloat(c *column, v float64) {
	c.float[d.rows] = v
	d.claim(c, filled)
}

// setWord fills a cell of a string column with a word of its dictionary.
func (d *Cells) setWord(c *column, id int32) {
	c.index[d.rows] = id
	d.claim(c, filled)
}

// blame marks the cell as holding something that is not of the column's type.
func (d *Cells) blame(c *column, at int, found string) {
	d.claim(c, illTyped)
	c.at, c.found, c.element = at, found, 0
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
	default:
		c.list.setNull(row)
	}
}

// begin readies the buffers for at most rows rows.
func (d *Cells) begin(rows int) {
	d.rows, d.rejects = 0, nil // whatever became of the batch before
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
			c.buf, c.int64 = table.Alloc(d.cfg.Allocator, rows, arrow.Int64Traits)
		case table.Float64:
			c.buf, c.float = table.Alloc(d.cfg.Allocator, rows, arrow.Float64Traits)
		case table.String:
			c.buf, c.index = table.Alloc(d.cfg.Allocator, rows, arrow.Int32Traits)
			c.words.begin()
		case table.Bool:
			if cap(c.bools) < rows {
				c.bools = make([]byte, rows)
			}
			c.bools = c.bools[:rows]
		default:
			c.list.begin(rows)
		}
	}
}

// finish makes the batch of the rows accepted.
func (d *Cells) finish() (arrow.Record, error) {
	columns := make([]arrow.Array, 0, len(d.cols)+1)
	defer func() {
		for _, a := range columns {
			a.Release()
		}
	}()
	for i := range d.cols {
		c := &d.cols[i]
		if c.dropped {
			continue
		}
		a := c.array(d.cfg.Allocator, d.rows)
		if d.cfg.Private && !c.skip {
			raw, err := a, error(nil)
			if of := d.schema.Columns[i]; of.PII != "" {
				a, err = d.schema.Protect(d.cfg.Allocator, of, raw)
			} else if c.typ == table.String {
				a, err = table.Used(d.cfg.Allocator, raw)
			} else {
				a.Retain()
			}
			if raw.Release(); err != nil {
				return nil, err
			}
		}
		columns = append(columns, a)
	}
	buf, ids := table.Alloc(d.cfg.Allocator, d.rows, arrow.Int64Traits)
	copy(ids, d.rowIDs[:d.rows])
	columns = append(columns, table.NewColumn(d.cfg.Allocator, table.Int64, d.rows, buf, table.Mask{}))
	return array.NewRecord(d.arrow, columns, int64(d.rows)), nil
}

// array makes the column's array of rows rows and lets go of its buffers.
func (c *column) array(alloc memory.Allocator, rows int) arrow.Array {
	if c.skip {
		return array.MakeArrayOfNull(alloc, c.out.ArrowType(), rows)
	}
	buf, valid := c.buf, c.valid(rows)
	c.buf, c.int64, c.float, c.index = nil, nil, nil, nil
	switch c.typ {
	case table.String:
		buf.ResizeNoShrink(rows * arrow.Int32SizeBytes)
		words := c.words.finish()
		defer words.Release()
		return table.NewText(alloc, rows, buf, valid, words)
	case table.Bool:
		buf = packed(c.bools[:rows]).Buffer(alloc)
	case table.Int64List, table.Float64List, table.BoolList:
		return c.list.array(alloc, c.typ, rows, valid)
	default:
		buf.ResizeNoShrink(rows * arrow.Int64SizeBytes)
	}
	return table.NewColumn(alloc, c.typ, rows, buf, valid)
}

// valid marks the rows that are not null; the zero Mask where all are.
func (c *column) valid(rows int) table.Mask {
	if len(c.nulls) == 0 {
		return table.Mask{}
	}
	m := table.NewMask(rows).Not()
	for _, row := range c.nulls {
		m.Clear(row)
	}
	return m
}
