package encode

import (
	"fmt"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// Column gathers the rows of one column for the next row group.
type Column struct {
	field    arrow.Field
	elements []format.SchemaElement // from the top to that of the values
	rows     int
	valid    encoding.Bitmap // of a nullable column
	lists    *lists          // nil: a value or null a row
	values   values
	pool     *sync.Pool // of values
}

// values gathers the values of a column that are not null.
type values interface {
	// append adds the values of the present rows among [from, to) of a.
	append(a arrow.Array, from, to int, rows present) error
	// size returns the bytes of variable length gathered.
	size() int
	// plan decides how the chunk is encoded. It returns the encoding of its pages
	// and its dictionary: PLAIN entries and their number, 0 if there is none.
	plan() (enc format.Encoding, dict []byte, entries int)
	// page appends the encoded values [from, to) to dst.
	page(dst []byte, from, to int) []byte
	// bounds returns the least and greatest value as statistics have them, nil if
	// there are none to tell.
	bounds() (least, greatest []byte)
	// reset forgets all values.
	reset()
}

// Spares keeps the memory that columns gathered values in for the next ones. The
// zero value is ready to use, by any number of goroutines; what nobody asks for
// soon is left to the collector.
type Spares struct{ bools, int32s, int64s, float32s, float64s, texts sync.Pool }

// gather makes c a column of values of a physical type, gathered in a T of the pool
// that was given back or in a new one.
func gather[T any, P interface {
	*T
	values
}](c *Column, t format.Type, pool *sync.Pool) {
	v, ok := pool.Get().(P)
	if !ok {
		v = new(T)
	}
	c.elements[0].Type, c.values, c.pool = thrift.New(t), v, pool
}

// NewColumn returns an empty Column with memory of spares, or an error if it
// cannot write the type.
func NewColumn(f arrow.Field, spares *Spares) (*Column, error) {
	c := &Column{field: f, elements: []format.SchemaElement{{Name: f.Name, RepetitionType: thrift.New(format.Required)}}}
	element := &c.elements[0]
	if f.Nullable {
		element.RepetitionType = thrift.New(format.Optional)
	}
	switch t := f.Type.(type) {
	case *arrow.ListType:
		if arrow.IsNested(t.Elem().ID()) {
			return nil, fmt.Errorf("%s cannot be written", arrowtype.Name(f.Type))
		}
		return c, c.newLists(t, spares)
	case *arrow.BooleanType:
		gather[bools](c, format.Boolean, &spares.bools)
	case *arrow.Int32Type:
		gather[integers[int32]](c, format.Int32, &spares.int32s)
	case *arrow.Int64Type:
		gather[integers[int64]](c, format.Int64, &spares.int64s)
	case *arrow.TimestampType:
		if t.Unit == arrow.Second {
			return nil, fmt.Errorf("timestamps in seconds do not exist in Parquet")
		}
		gather[integers[int64]](c, format.Int64, &spares.int64s)
		element.LogicalType, element.ConvertedType = timestamp(t)
	case *arrow.Float32Type:
		gather[floats[float32]](c, format.Float, &spares.float32s)
	case *arrow.Float64Type:
		gather[floats[float64]](c, format.Double, &spares.float64s)
	case *arrow.StringType, *arrow.DictionaryType:
		if d, ok := t.(*arrow.DictionaryType); ok && (d.IndexType.ID() != arrow.INT32 || d.ValueType.ID() != arrow.STRING) {
			return nil, fmt.Errorf("%s cannot be written", arrowtype.Name(f.Type))
		}
		gather[text](c, format.ByteArray, &spares.texts)
		element.LogicalType = format.LogicalType{Value: &format.StringType{}}
		element.ConvertedType = thrift.New(deprecated.UTF8)
	default:
		return nil, fmt.Errorf("%s cannot be written", arrowtype.Name(f.Type))
	}
	return c, nil
}

// timestamp returns the annotations of a timestamp. The older one has UTC only.
func timestamp(t *arrow.TimestampType) (l format.LogicalType, c thrift.Null[deprecated.ConvertedType]) {
	v := &format.TimestampType{IsAdjustedToUTC: t.TimeZone != ""}
	switch t.Unit {
	case arrow.Millisecond:
		v.Unit.Value = &format.MilliSeconds{}
		c = thrift.New(deprecated.TimestampMillis)
	case arrow.Microsecond:
		v.Unit.Value = &format.MicroSeconds{}
		c = thrift.New(deprecated.TimestampMicros)
	default:
		v.Unit.Value = &format.NanoSeconds{}
	}
	if !v.IsAdjustedToUTC {
		c = thrift.Null[deprecated.ConvertedType]{}
	}
	return format.LogicalType{Value: v}, c
}

// Field returns the column's Arrow field.
func (c *Column) Field() arrow.Field { return c.field }

// Append adds rows [from, to) of a, an array of the column's type.
func (c *Column) Append(a arrow.Array, from, to int) error {
	rows := presentIn(a)
	switch {
	case c.lists != nil && (c.field.Nullable || rows.bits == nil):
		c.rows += to - from
		return c.lists.append(a.(*array.List), from, to, rows, c.values)
	case c.field.Nullable && rows.bits != nil:
		c.valid.Copy(rows.bits, rows.offset+from, to-from)
	case c.field.Nullable:
		c.valid.Repeat(true, to-from)
	case rows.bits != nil && bitutil.CountSetBits(rows.bits, rows.offset+from, to-from) < to-from:
		return errNull
	}
	c.rows += to - from
	return c.values.append(a, from, to, rows)
}

// Size returns the bytes of variable length gathered for the next row group.
func (c *Column) Size() int {
	size := c.values.size()
	if c.lists != nil {
		size += elementBytes * len(c.lists.levels)
	}
	return size
}

// elementBytes is what an element of a list takes at most, with its levels.
const elementBytes = 9

// flush writes the rows gathered as a column chunk to p, forgets them and
// returns what the footer says of the chunk.
func (c *Column) flush(p *pages) (format.ColumnChunk, error) {
	enc, dict, words := c.values.plan()
	p.begin()
	if words > 0 {
		if err := p.dictionary(dict, words); err != nil {
			return format.ColumnChunk{}, err
		}
	}
	present, entries := 0, c.rows
	if c.lists != nil {
		entries = len(c.lists.levels)
	}
	for from := 0; from < entries; {
		to := min(from+pageRows, entries)
		n := to - from
		body := p.body[:0]
		switch {
		case c.lists != nil:
			to, n = c.lists.page(from)
			body = c.lists.appendLevels(body, from, to)
		case c.field.Nullable:
			body = appendLevels(body, &c.valid, from, to)
			n = c.valid.Ones(from, to)
		}
		pageEncoding := enc
		if n == 0 {
			pageEncoding = format.Plain // nothing is nothing in any encoding
		} else {
			body = c.values.page(body, present, present+n)
		}
		present += n
		p.body = body
		if err := p.data(pageEncoding, to-from, to-from-n); err != nil {
			return format.ColumnChunk{}, err
		}
		from = to
	}
	stats := format.Statistics{NullCount: int64(entries - present)}
	if present > 0 {
		stats.MinValue, stats.MaxValue = c.values.bounds()
	}
	chunk := p.end(c.elements, int64(entries), stats)
	c.values.reset()
	c.valid.Reset()
	if c.lists != nil {
		c.lists.levels = c.lists.levels[:0]
	}
	c.rows = 0
	return chunk, nil
}

// release gives the column's memory back once everything is written.
func (c *Column) release() {
	c.pool.Put(c.values)
	c.values = nil
}
