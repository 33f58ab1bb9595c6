// Package tabletest makes canonical batches for tests, by hand or at random,
// and reads them back as plain values.
package tabletest

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Batch returns a canonical batch of the rows, each with one value per column:
// string, int64, float64, bool, int64 (microseconds), []any of these for a list, or
// nil for null. RowColumn counts from first. Dictionaries hold each string once, in the order
// of its first use.
func Batch(mem memory.Allocator, schema table.Schema, first int64, rows ...[]any) arrow.Record {
	columns := make([]arrow.Array, 0, len(schema.Columns)+1)
	for i, c := range schema.Columns {
		column := make([]any, len(rows))
		for r, row := range rows {
			column[r] = row[i]
		}
		columns = append(columns, Column(mem, c.Type, column...))
	}
	numbers := make([]any, len(rows))
	for r := range rows {
		numbers[r] = first + int64(r)
	}
	columns = append(columns, Column(mem, table.Int64, numbers...))
	return record(schema, columns, len(rows))
}

func record(schema table.Schema, columns []arrow.Array, rows int) arrow.Record {
	rec := array.NewRecord(schema.Arrow(), columns, int64(rows))
	for _, c := range columns {
		c.Release()
	}
	return rec
}

// Column returns an array of type t of the values, nil for null.
func Column(mem memory.Allocator, t table.Type, values ...any) arrow.Array {
	if t == table.String {
		return Strings(mem, nil, values...)
	}
	b := array.NewBuilder(mem, t.ArrowType())
	defer b.Release()
	for _, v := range values {
		appendValue(b, v)
	}
	return b.NewArray()
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	case *array.ListBuilder:
		b.Append(true)
		for _, element := range v.([]any) {
			appendValue(b.ValueBuilder(), element)
		}
	}
}

// Strings returns a dictionary array whose dictionary begins with the given
// entries, duplicates and unused ones included; values not among them are
// appended.
func Strings(mem memory.Allocator, dictionary []string, values ...any) arrow.Array {
	db := array.NewStringBuilder(mem)
	defer db.Release()
	ib := array.NewInt32Builder(mem)
	defer ib.Release()
	ids := make(map[string]int32)
	add := func(s string) int32 {
		ids[s] = int32(db.Len())
		db.Append(s)
		return ids[s]
	}
	for _, s := range dictionary {
		add(s)
	}
	for _, v := range values {
		if v == nil {
			ib.AppendNull()
			continue
		}
		id, ok := ids[v.(string)]
		if !ok {
			id = add(v.(string))
		}
		ib.Append(id)
	}
	return dictionaryArray(ib, db)
}

func dictionaryArray(ib *array.Int32Builder, db *array.StringBuilder) arrow.Array {
	indices, dict := ib.NewArray(), db.NewArray()
	defer indices.Release()
	defer dict.Release()
	return array.NewDictionaryArray(table.String.ArrowType(), indices, dict)
}

// Row returns row i of a batch as plain values: string, int64 (timestamps
// too), float64, bool, []any of a list, or nil for null; RowColumn last.
func Row(rec arrow.Record, i int) []any {
	out := make([]any, rec.NumCols())
	for c, a := range rec.Columns() {
		out[c] = Value(a, i)
	}
	return out
}

// Rows returns the rows of a batch as plain values.
func Rows(rec arrow.Record) [][]any {
	out := make([][]any, rec.NumRows())
	for i := range out {
		out[i] = Row(rec, i)
	}
	return out
}

// Value returns value i of an array as Row does. A NaN comes back as the
// string "NaN", so that results can be compared.
func Value(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		if v := a.Value(i); !math.IsNaN(v) {
			return v
		}
		return "NaN"
	case *array.Boolean:
		return a.Value(i)
	case *array.Timestamp:
		return int64(a.Value(i))
	case *array.Dictionary:
		return a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
	case *array.List:
		from, to := a.ValueOffsets(i)
		out := make([]any, 0, to-from)
		for e := from; e < to; e++ {
			out = append(out, Value(a.ListValues(), int(e)))
		}
		return out
	}
	panic(fmt.Sprintf("tabletest: %s is not a canonical type", a.DataType()))
}

// Values are the generators of non-null values by type, rich in edges.
var values = map[table.Type]func(*rapid.T) any{
	table.Int64: func(t *rapid.T) any {
		return rapid.OneOf(rapid.Int64Range(-3, 30), rapid.Int64()).Draw(t, "int64")
	},
	table.Float64: func(t *rapid.T) any {
		return rapid.OneOf(rapid.Float64Range(-3, 3), rapid.Float64(),
			rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, 1e19, 0.1})).Draw(t, "float64")
	},
	table.Bool: func(t *rapid.T) any { return rapid.Bool().Draw(t, "bool") },
	table.Timestamp: func(t *rapid.T) any {
		return rapid.OneOf(rapid.Int64Range(0, 2e15), rapid.Int64()).Draw(t, "timestamp")
	},
	table.String: func(t *rapid.T) any {
		return rapid.OneOf(rapid.SampledFrom([]string{"JFK", " JFK", "jfk ", "", " ", "LAX", "ß", "İ", "12", "-0", "1e3", "2020-01-02", "true", "\xff"}),
			rapid.StringN(0, 4, -1)).Draw(t, "string")
	},
}

// Draw returns a random batch of up to maxRows rows: nulls in every column,
// dictionaries with unused and duplicate entries, and arrays that begin in the
// middle of their buffers. RowColumn rises from a random start.
func Draw(t *rapid.T, mem memory.Allocator, schema table.Schema, maxRows int) arrow.Record {
	rows := rapid.IntRange(0, maxRows).Draw(t, "rows")
	before := rapid.IntRange(0, 9).Draw(t, "rows before")
	total := before + rows + rapid.IntRange(0, 3).Draw(t, "rows after")
	columns := make([]arrow.Array, 0, len(schema.Columns)+1)
	for _, c := range schema.Columns {
		columns = append(columns, drawColumn(t, mem, c.Type, total))
	}
	first := rapid.Int64Range(0, 1000).Draw(t, "first row")
	numbers := make([]any, total)
	for i := range numbers {
		numbers[i] = first + int64(i)
	}
	columns = append(columns, Column(mem, table.Int64, numbers...))
	whole := record(schema, columns, total)
	defer whole.Release()
	return whole.NewSlice(int64(before), int64(before+rows))
}

func drawColumn(t *rapid.T, mem memory.Allocator, typ table.Type, n int) arrow.Array {
	nulls := rapid.SampledFrom([]int{0, 3, 10}).Draw(t, "nulls of 10")
	isNull := func() bool { return nulls > 0 && rapid.IntRange(1, 10).Draw(t, "null") <= nulls }
	if typ != table.String {
		value := values[typ]
		if element := values[typ.Element()]; element != nil {
			value = func(t *rapid.T) any {
				list := make([]any, rapid.IntRange(0, 4).Draw(t, "length"))
				for i := range list {
					if v := element(t); !isNull() {
						list[i] = v
					}
				}
				return list
			}
		}
		out := make([]any, n)
		for i := range out {
			if v := value(t); !isNull() {
				out[i] = v
			}
		}
		return Column(mem, typ, out...)
	}
	db := array.NewStringBuilder(mem)
	defer db.Release()
	ib := array.NewInt32Builder(mem)
	defer ib.Release()
	entries := rapid.IntRange(1, 8).Draw(t, "entries")
	for range entries {
		db.Append(values[typ](t).(string))
	}
	for range n {
		if isNull() {
			ib.AppendNull()
		} else {
			ib.Append(int32(rapid.IntRange(0, entries-1).Draw(t, "entry")))
		}
	}
	return dictionaryArray(ib, db)
}

// Split returns the batch in random pieces, empty ones among them. The caller
// releases each.
func Split(t *rapid.T, rec arrow.Record) []arrow.Record {
	var out []arrow.Record
	for from := int64(0); from < rec.NumRows() || len(out) == 0; {
		to := rapid.Int64Range(from, rec.NumRows()).Draw(t, "cut")
		out = append(out, rec.NewSlice(from, to))
		from = to
		if len(out) > 64 {
			out = append(out, rec.NewSlice(from, rec.NumRows()))
			break
		}
	}
	return out
}
