package event

import (
	"fmt"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline/table"
)

// nowhere is the place of a cell in a row that has no bytes of its own.
const nowhere = -1

// DecodeRows is Decode of rows that are a record of Arrow, whose columns are the fields: what
// JSON of the same values gives, this gives. Numbers of any width, texts with or without a
// dictionary, times of any unit, dates, booleans and lists of these are taken by what they
// are worth; a time without a zone is what a clock showed in Config.Zone. A column of a type
// that has no values of a column's is an error (Invalid), since no row would be one. The record
// is sound: none of its values can fail to be read, and no index is that of a null.
//
// A row has no bytes as an event, whose bound it has yet: those of its texts count, and
// elementSize of each element of a list.
func (d *Decoder) DecodeRows(rec arrow.Record, offsets []int64) (arrow.Record, []Reject, error) {
	fields := make([]func(row int), 0, rec.NumCols())
	names := make([]string, 0, rec.NumCols())
	unknown := false
	for i, f := range rec.Schema().Fields() {
		if names = append(names, f.Name); len(rec.Schema().FieldIndices(f.Name)) > 1 {
			return nil, nil, badColumn(f.Name, "it is there twice", "")
		}
		at, known := d.byName[f.Name]
		switch {
		case !known:
			unknown = true
			continue
		case d.cols[at].skip:
			continue
		}
		read, err := d.field(&d.cols[at], rec.Column(i))
		if err != nil {
			return nil, nil, err
		}
		fields = append(fields, read)
	}
	options, _ := d.cfg.Format.(*JSONFormat)
	unknown = unknown && options != nil && options.OnUnknownField == DeadLetter
	rows := int(rec.NumRows())
	d.begin(rows)
	for i := range rows {
		d.filled, d.size = 0, 0
		d.stamp++
		for _, read := range fields {
			read(i)
		}
		if d.size > d.cfg.MaxEventBytes {
			d.filled = 0
			d.tooLarge(offsets[i], i, d.size)
			continue
		}
		if unknown && !d.foreign() {
			d.reject(offsets[i], i, "a field that is no column", "unknown field")
			continue
		}
		if d.cfg.Sparse || !d.foreign() || !d.refuseForeign(offsets[i], i, slices.Clone(names[:min(len(names), maxNames)])) {
			d.accept(offsets[i], i)
		}
	}
	rejects := d.rejects
	d.rejects = nil
	out, err := d.finish()
	return out, rejects, err
}

func badColumn(name, why, hint string) error {
	return &thalweg.Error{Op: "decode rows", Kind: thalweg.Invalid, Subject: fmt.Sprintf("column %.64q", name), Err: fmt.Errorf("%s", why), Hint: hint}
}

// field returns what reads a row of an array into column c's cell.
func (d *Decoder) field(c *column, a arrow.Array) (func(row int), error) {
	if a.DataType().ID() == arrow.NULL {
		return func(int) { d.null(c) }, nil
	}
	read := d.values(c, a)
	if read == nil {
		return nil, badColumn(c.name, fmt.Sprintf("it is of type %s, which has no values of %s", arrowtype.Name(a.DataType()), c.typ),
			"cast it before it is sent")
	}
	if a.NullN() == 0 {
		return read, nil
	}
	return func(row int) {
		if a.IsNull(row) {
			d.null(c)
		} else {
			read(row)
		}
	}, nil
}

func (d *Cells) null(c *column) {
	d.claim(c, null)
	c.at, c.element = nowhere, 0
}

// elementSize is what an element of a list takes in any event: a digit and what parts it from
// the next one.
const elementSize = 2

// grow counts bytes of a row, and reports whether an event could have them.
func (d *Cells) grow(bytes int) bool {
	d.size += bytes
	return d.size <= d.cfg.MaxEventBytes
}

// values returns what reads the values of an array; nil where none is one of the column's.
func (d *Decoder) values(c *column, a arrow.Array) func(row int) {
	switch c.typ {
	case table.String, table.Timestamp:
		if text := texts(a); text != nil {
			return func(row int) { d.textOf(c, text(row)) }
		}
		if c.typ == table.Timestamp {
			return d.timesOf(c, a)
		}
	case table.Int64, table.Float64:
		return d.numbersOf(c, a)
	case table.Bool:
		if a, ok := a.(*array.Boolean); ok {
			return func(row int) {
				c.bools[d.rows] = 0
				if a.Value(row) {
					c.bools[d.rows] = 1
				}
				d.claim(c, filled)
			}
		}
	default:
		if a, ok := a.(array.ListLike); ok {
			return d.listsOf(c, a)
		}
	}
	return nil
}

// texts returns what reads the texts of an array; nil where it has none.
func texts(a arrow.Array) func(row int) string {
	switch a := a.(type) {
	case *array.String:
		return a.Value
	case *array.LargeString:
		return a.Value
	case *array.Dictionary:
		if word := texts(a.Dictionary()); word != nil {
			return func(row int) string { return word(a.GetValueIndex(row)) }
		}
	}
	return nil
}

// textOf takes a text as a column's word or time.
func (d *Cells) textOf(c *column, text string) {
	s := unsafe.Slice(unsafe.StringData(text), len(text)) // read only
	if !d.grow(len(s)) {
		return // the row is rejected
	}
	if c.typ == table.String {
		d.word(c, s, nowhere)
	} else if us, ok := d.times.parse(s); ok {
		d.setInt(c, us)
	} else {
		d.blame(c, nowhere, foundNoTime)
	}
}

// integers returns what reads the whole numbers of an array but for uint64; nil where it has
// none.
func integers(a arrow.Array) func(row int) int64 {
	switch a := a.(type) {
	case *array.Int64:
		return a.Value
	case *array.Int32:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int16:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int8:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Uint32:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Uint16:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Uint8:
		return func(row int) int64 { return int64(a.Value(row)) }
	}
	return nil
}

// numbersOf reads numbers into a column of whole ones or of floats.
func (d *Decoder) numbersOf(c *column, a arrow.Array) func(row int) {
	if whole := integers(a); whole != nil {
		if c.typ == table.Float64 {
			return func(row int) { d.setFloat(c, float64(whole(row))) }
		}
		return func(row int) { d.setInt(c, whole(row)) }
	}
	switch a := a.(type) {
	case *array.Uint64:
		return func(row int) {
			switch v := a.Value(row); {
			case c.typ == table.Float64:
				d.setFloat(c, float64(v))
			case v > math.MaxInt64:
				d.blame(c, nowhere, foundLarge)
			default:
				d.setInt(c, int64(v))
			}
		}
	case *array.Float64:
		return func(row int) { d.float(c, a.Value(row)) }
	case *array.Float32:
		return func(row int) { d.float(c, float64(a.Value(row))) }
	}
	return nil
}

// float takes a float as a number of a column, which may have to be whole.
func (d *Cells) float(c *column, v float64) {
	switch {
	case v-v != 0:
		d.blame(c, nowhere, foundNotFinite)
	case c.typ == table.Float64:
		d.setFloat(c, v)
	case v != math.Trunc(v):
		d.blame(c, nowhere, foundFraction)
	case v < -1<<63 || v >= 1<<63:
		d.blame(c, nowhere, foundLarge)
	default:
		d.setInt(c, int64(v))
	}
}

// timesOf reads times and, where the column takes such, counts of milliseconds.
func (d *Decoder) timesOf(c *column, a arrow.Array) func(row int) {
	set := func(us int64, problem string) {
		if problem == "" && (us < table.MinMicros || us > table.MaxMicros) {
			problem = foundFarTime
		}
		if problem != "" {
			d.blame(c, nowhere, problem)
		} else {
			d.setInt(c, us)
		}
	}
	if whole := integers(a); whole != nil && d.times.epoch {
		return func(row int) { set(fromMillis(whole(row))) }
	}
	var count func(row int) int64
	mul, div, local := int64(1), int64(1), true
	switch a := a.(type) {
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		count, local = func(row int) int64 { return int64(a.Value(row)) }, t.TimeZone == ""
		switch t.Unit {
		case arrow.Second:
			mul = 1e6
		case arrow.Millisecond:
			mul = 1e3
		case arrow.Nanosecond:
			div = 1e3
		}
	case *array.Date32:
		count, mul = func(row int) int64 { return int64(a.Value(row)) }, 24*3600*1e6
	case *array.Date64:
		count, mul = func(row int) int64 { return int64(a.Value(row)) }, 1e3
	default:
		return nil
	}
	var zone *table.Offsets
	if local && d.cfg.Zone != time.UTC {
		zone = table.NewOffsets(d.cfg.Zone)
	}
	return func(row int) {
		n := count(row)
		if div == 1 && (n > table.MaxMicros/mul || n < table.MinMicros/mul) {
			set(0, foundFarTime)
			return
		}
		us := table.FloorDiv(n*mul, div)
		if zone != nil {
			second := table.FloorDiv(us, 1e6)
			us -= (second - zone.Local(second)) * 1e6
		}
		set(us, "")
	}
}

// listsOf reads lists of what the column's lists are of.
func (d *Decoder) listsOf(c *column, a array.ListLike) func(row int) {
	read, err := d.field(&c.list.element, a.ListValues())
	if err != nil {
		return nil
	}
	return func(row int) {
		from, to := a.ValueOffsets(row)
		if !d.grow(elementSize * int(to-from)) {
			return // the row is rejected
		}
		d.openList(c)
		for i := int(from); i < int(to); i++ {
			read(i)
			d.push(c)
		}
		d.closeList(c)
	}
}
