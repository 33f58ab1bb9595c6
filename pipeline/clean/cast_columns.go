package clean

import (
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// sink makes a column of values; rows that valid does not mark are null.
type sink[D any] func(mem memory.Allocator, values []D, valid table.Mask) arrow.Array

// values converts row by row.
func values[S, D any](source func(arrow.Array) []S, f func(S) (D, bool), into sink[D]) converter {
	return func(a arrow.Array, mem memory.Allocator, _ *time.Location) arrow.Array {
		valid, out := table.Valid(a), make([]D, a.Len())
		for i, v := range source(a) {
			if !valid.Has(i) {
				continue
			}
			var ok bool
			if out[i], ok = f(v); !ok {
				valid.Clear(i)
			}
		}
		return into(mem, out, valid)
	}
}

// fromText converts each dictionary entry once.
func fromText[D any](f func(string, *time.Location) (D, bool), into sink[D]) converter {
	return func(a arrow.Array, mem memory.Allocator, zone *time.Location) arrow.Array {
		d := a.(*array.Dictionary)
		dict, indices := d.Dictionary().(*array.String), d.Indices().(*array.Int32)
		compact := dict.Len() > a.Len()
		used := usedEntries(indices, dict.Len(), compact)
		parsed, forms := make([]D, dict.Len()), make([]bool, dict.Len())
		for i := range dict.Len() {
			if !compact || used.Has(i) {
				parsed[i], forms[i] = f(dict.Value(i), zone)
			}
		}
		valid, out := table.Valid(a), make([]D, a.Len())
		for i, id := range indices.Int32Values() {
			if !valid.Has(i) {
				continue
			}
			if out[i] = parsed[id]; !forms[id] {
				valid.Clear(i)
			}
		}
		return into(mem, out, valid)
	}
}

// int64Values returns the values of an int64 or timestamp column, or the bits
// of those of a float64 column.
var int64Values = table.Values[int64]

var float64Values = table.Values[float64]

func boolsAsInts(a arrow.Array) []int64 { return table.Indicators(a.(*array.Boolean)) }

// fixed makes columns of type t of values of its width.
func fixed[D any](t table.Type, traits table.Traits[D]) sink[D] {
	return func(mem memory.Allocator, v []D, valid table.Mask) arrow.Array {
		buf, out := table.Alloc(mem, len(v), traits)
		copy(out, v)
		return table.NewColumn(mem, t, len(v), buf, valid)
	}
}

func boolColumn(mem memory.Allocator, v []bool, valid table.Mask) arrow.Array {
	bits := table.NewMask(len(v))
	for i, b := range v {
		if b {
			bits.Set(i)
		}
	}
	return table.NewColumn(mem, table.Bool, len(v), bits.Buffer(mem), valid)
}

// toText converts each distinct value once. The dictionary holds each text
// once, in the order of first use.
func toText(source func(arrow.Array) []int64, f func(int64) (string, bool)) converter {
	return func(a arrow.Array, mem memory.Allocator, _ *time.Location) arrow.Array {
		b := array.NewStringBuilder(mem)
		defer b.Release()
		ids := make(map[int64]int32)
		valid := table.Valid(a)
		buf, out := table.Alloc(mem, a.Len(), arrow.Int32Traits)
		for i, v := range source(a) {
			out[i] = 0
			if !valid.Has(i) {
				continue
			}
			id, ok := ids[v]
			if !ok {
				if text, ok := f(v); ok {
					id = int32(b.Len())
					b.Append(text)
				} else {
					id = none
				}
				ids[v] = id
			}
			if id == none {
				valid.Clear(i)
			} else {
				out[i] = id
			}
		}
		entries := b.NewArray()
		defer entries.Release()
		return table.NewText(mem, a.Len(), buf, valid, entries)
	}
}
