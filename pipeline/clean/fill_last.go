package clean

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// bindLast binds the strategy last_in_key.
func (s *Fill) bindLast(at *pipeline.Columns) pipeline.Op {
	name := s.Columns[0]
	column, ok := at.Lookup("columns[0]", name)
	if ok && column.Type.Element() != "" {
		at.Problem("columns[0]", "", "column %s is %s: last_in_key does not fill lists", name, column.Type)
	}
	if s.Key == name {
		at.Problem("key", "", "a column cannot be filled by itself")
	}
	at.Key("key", s.Key)
	with := []string{s.Key}
	if s.By != "" {
		at.Order("by", s.By)
		with = append(with, s.By)
	}
	at.Mix(name, with...)
	step, shuffle := at.Step(), pipeline.Shuffle{Keys: []string{s.Key}, By: s.By, Value: name}
	return &unsettled{shuffle, func(found *pipeline.Settled) pipeline.Op { return &fillLast{step, name, found} }}
}

// fillLast fills with the last value in the row's key.
type fillLast struct {
	name, column string
	found        *pipeline.Settled
}

// Apply implements pipeline.Op. It counts the values filled.
func (o *fillLast) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	found := o.found
	i, err := column(batch, o.column)
	if err != nil {
		return nil, err
	}
	a, rows := batch.Column(i), found.Mark(batch)
	if rows.Count() == 0 {
		batch.Retain()
		return batch, nil
	}
	rep.Change(o.name+" "+o.column, int64(rows.Count()))
	valid := table.Valid(a)
	valid.Or(rows)
	n := a.Len()
	number := func(at int) uint64 { return binary.LittleEndian.Uint64([]byte(found.Values[at])) }
	var buf *memory.Buffer
	switch a := a.(type) {
	case *array.Int64:
		var out []int64
		buf, out = table.Alloc(mem, n, arrow.Int64Traits)
		copy(out, a.Int64Values())
		for i, at := range found.In(batch) {
			out[i] = int64(number(at))
		}
	case *array.Timestamp:
		var out []arrow.Timestamp
		buf, out = table.Alloc(mem, n, arrow.TimestampTraits)
		copy(out, a.TimestampValues())
		for i, at := range found.In(batch) {
			out[i] = arrow.Timestamp(number(at))
		}
	case *array.Float64:
		var out []float64
		buf, out = table.Alloc(mem, n, arrow.Float64Traits)
		copy(out, a.Float64Values())
		for i, at := range found.In(batch) {
			out[i] = math.Float64frombits(number(at))
		}
	case *array.Boolean:
		values := table.True(a)
		for i, at := range found.In(batch) {
			if number(at) != 0 {
				values.Set(i)
			}
		}
		buf = values.Buffer(mem)
	case *array.Dictionary:
		text := fillTexts(mem, a, batch, found, valid)
		return setColumn(batch, batch.Schema().Field(i), text), nil
	}
	filled := table.NewColumn(mem, table.TypeOf(a.DataType()), n, buf, valid)
	return setColumn(batch, batch.Schema().Field(i), filled), nil
}

// fillTexts gives rows the texts that were found for them, which are appended to the
// dictionary.
func fillTexts(mem memory.Allocator, a *array.Dictionary, batch arrow.Record, found *pipeline.Settled, valid table.Mask) arrow.Array {
	dict, entries := a.Dictionary().(*array.String), make(map[string]int32)
	b := array.NewStringBuilder(mem)
	defer b.Release()
	for i := range dict.Len() {
		b.Append(dict.Value(i))
		entries[dict.Value(i)] = int32(i)
	}
	buf, out := table.Alloc(mem, a.Len(), arrow.Int32Traits)
	copy(out, a.Indices().(*array.Int32).Int32Values())
	for i, at := range found.In(batch) {
		text := found.Values[at]
		entry, known := entries[text]
		if !known {
			entry = int32(b.Len())
			entries[text] = entry
			b.Append(text)
		}
		out[i] = entry
	}
	all := b.NewArray()
	defer all.Release()
	return table.NewText(mem, a.Len(), buf, valid, all)
}
