package clean

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fill treats the missing values of columns: it puts a constant in their place
// or removes the row.
type fill struct {
	name    string
	columns []string
	// constants is the fill value in the form of each type that can hold it; nil
	// where rows are removed.
	constants map[table.Type]any
	value     any
	mem       memory.Allocator
}

func newFill(step pipeline.Step, b builder) (pipeline.Op, error) {
	s := step.Spec.Fill
	op := &fill{name: step.Name, columns: s.Columns, value: s.Value, mem: b.mem}
	switch s.Strategy {
	case "fill_with_const":
		if s.Value == nil {
			return nil, fmt.Errorf("fill_with_const has no value")
		}
		op.constants = constants(s.Value, b.zone)
	case "drop_row":
	default:
		return nil, fmt.Errorf("strategy %q is none of fill_with_const, drop_row", s.Strategy)
	}
	return op, nil
}

// constants returns a YAML scalar in the form of each type that can hold it
// exactly; a number or bool may stand for the string that it is written as, but
// not the other way round.
func constants(v any, zone *time.Location) map[table.Type]any {
	out := make(map[table.Type]any)
	switch v := v.(type) {
	case string:
		out[table.String] = v
		if t, ok := parseTimestamp(v, zone); ok {
			out[table.Timestamp] = t
		}
	case bool:
		out[table.Bool] = v
		out[table.String] = strconv.FormatBool(v)
	case int:
		return constants(int64(v), zone)
	case uint64:
		if v <= 1<<63-1 {
			return constants(int64(v), zone)
		}
		return constants(float64(v), zone)
	case int64:
		out[table.Int64], out[table.Float64] = v, float64(v)
		out[table.String], _ = intToText(v)
	case float64:
		if text, ok := floatToText(v); ok {
			out[table.Float64], out[table.String] = v, text
		}
		if i, ok := floatToInt(v); ok {
			out[table.Int64] = i
		}
	}
	return out
}

// Name implements pipeline.Op.
func (o *fill) Name() string { return o.name }

// Schema implements pipeline.Op: the columns are no longer nullable. It
// reports a constant that a column's type cannot hold.
func (o *fill) Schema(in table.Schema) (table.Schema, error) {
	for _, name := range o.columns {
		_, c, ok := in.Lookup(name)
		if !ok {
			return in, missing(name)
		}
		if _, ok := o.constants[c.Type]; !ok && o.constants != nil {
			return in, invalid(name, fmt.Sprintf("is of type %s, which cannot hold %v", c.Type, o.value))
		}
		c.Nullable = false
		in = setSchema(in, c)
	}
	return in, nil
}

// Apply implements pipeline.Op. It counts the values filled by column, or the
// rows removed by the first of its columns that misses a value.
func (o *fill) Apply(_ context.Context, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	batch.Retain()
	treat := o.fillColumn
	if o.constants == nil {
		treat = o.dropMissing
	}
	for _, name := range o.columns {
		i, err := column(batch, name)
		if err != nil {
			batch.Release()
			return nil, err
		}
		next, err := treat(batch, i, rep)
		batch.Release()
		if err != nil {
			return nil, err
		}
		batch = next
	}
	return batch, nil
}

func (o *fill) dropMissing(batch arrow.Record, i int, rep *pipeline.Report) (arrow.Record, error) {
	name := batch.ColumnName(i)
	rows, err := drop(o.mem, batch, table.Present(batch.Column(i)), rep, o.name, name+" is missing")
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	a := rows.Column(i)
	a.Retain()
	return setColumn(rows, arrow.Field{Name: name, Type: a.DataType()}, a), nil
}

func (o *fill) fillColumn(batch arrow.Record, i int, rep *pipeline.Report) (arrow.Record, error) {
	name, a := batch.ColumnName(i), batch.Column(i)
	present := table.Present(a)
	absent := int64(present.Rows - present.Count())
	if absent == 0 {
		a.Retain()
	} else {
		a = o.filled(a, present)
		rep.Change(o.name+" "+name, absent)
	}
	return setColumn(batch, arrow.Field{Name: name, Type: a.DataType()}, a), nil
}

// filled returns a with the constant in the rows that present does not mark.
// Schema has made sure that the constant has a form in the column's type.
func (o *fill) filled(a arrow.Array, present table.Mask) arrow.Array {
	var buf *memory.Buffer
	n := a.Len()
	switch a := a.(type) {
	case *array.Int64:
		var out []int64
		buf, out = table.Alloc(o.mem, n, arrow.Int64Traits)
		put(out, a.Int64Values(), present, o.constants[table.Int64].(int64))
	case *array.Timestamp:
		var out []arrow.Timestamp
		buf, out = table.Alloc(o.mem, n, arrow.TimestampTraits)
		put(out, a.TimestampValues(), present, arrow.Timestamp(o.constants[table.Timestamp].(int64)))
	case *array.Float64:
		var out []float64
		buf, out = table.Alloc(o.mem, n, arrow.Float64Traits)
		put(out, a.Float64Values(), present, o.constants[table.Float64].(float64))
	case *array.Boolean:
		values := table.True(a)
		if o.constants[table.Bool].(bool) {
			for w, word := range present.Not().Words {
				values.Words[w] |= word
			}
		}
		buf = values.Buffer(o.mem)
	case *array.Dictionary:
		return fillText(o.mem, a, present, o.constants[table.String].(string))
	}
	return table.NewColumn(o.mem, typeOf(a), n, buf, table.Mask{})
}

// put copies src to dst with v in the rows that present does not mark.
func put[T any](dst, src []T, present table.Mask, v T) {
	copy(dst, src)
	for i := range dst {
		if !present.Has(i) {
			dst[i] = v
		}
	}
}

// fillText gives missing rows the entry that is v, which is appended to the
// dictionary where it has none.
func fillText(mem memory.Allocator, a *array.Dictionary, present table.Mask, v string) arrow.Array {
	dict := a.Dictionary().(*array.String)
	entry := 0
	for entry < dict.Len() && dict.Value(entry) != v {
		entry++
	}
	var entries arrow.Array = dict
	entries.Retain()
	if entry == dict.Len() {
		entries.Release()
		b := array.NewStringBuilder(mem)
		defer b.Release()
		b.Reserve(dict.Len() + 1)
		for i := range dict.Len() {
			b.Append(dict.Value(i))
		}
		b.Append(v)
		entries = b.NewArray()
	}
	defer entries.Release()
	buf, out := table.Alloc(mem, a.Len(), arrow.Int32Traits)
	put(out, a.Indices().(*array.Int32).Int32Values(), present, int32(entry))
	return table.NewText(mem, a.Len(), buf, table.Mask{}, entries)
}
