package clean

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// textOp maps the text of string columns, value by value.
type textOp struct {
	name    string
	columns []string
	f       mapping
}

// mapping returns what a text becomes; false is null.
type mapping func(string) (string, bool)

// bindText returns the operator that maps the text of columns, which stay as
// they are.
func bindText(at *pipeline.Columns, columns []string, f func(string) string) pipeline.Op {
	for i, name := range columns {
		field := fmt.Sprintf("columns[%d]", i)
		if column, ok := at.Lookup(field, name); ok && column.Type != table.String {
			at.Problem(field, "", "column %s is %s, not string", name, column.Type)
		}
	}
	return &textOp{name: at.Step(), columns: columns, f: func(s string) (string, bool) { return f(s), true }}
}

// Apply implements pipeline.Op. It counts by column the rows whose text
// changed.
func (o *textOp) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	return eachColumn(batch, o.columns, func(batch arrow.Record, i int) (arrow.Record, error) {
		mapped, changed := mapText(mem, batch.Column(i).(*array.Dictionary), o.f)
		rep.Change(o.name+" "+batch.ColumnName(i), changed)
		return setColumn(batch, batch.Schema().Field(i), mapped), nil
	})
}

// none is the id of a value that has no text.
const none = -1

// mapText applies f to each value of a and returns the result and the number
// of rows that it changed. f is called once per dictionary entry, and only for
// those in use where the dictionary is longer than the column. Entries that
// become equal become one; the indices are shared where none do.
func mapText(mem memory.Allocator, a *array.Dictionary, f mapping) (arrow.Array, int64) {
	dict, indices := a.Dictionary().(*array.String), a.Indices().(*array.Int32)
	compact := dict.Len() > a.Len()
	used := usedEntries(indices, dict.Len(), compact)

	// texts holds the text of every entry in use once one has changed, and
	// marks which did.
	var texts []string
	var marks []uint8
	nulls := make(map[int]bool) // entries that become null
	every := true               // entry in use changed
	for i := range dict.Len() {
		if compact && !used.Has(i) {
			continue
		}
		old := dict.Value(i)
		text, ok := f(old)
		differs := !ok || text != old
		if !ok {
			nulls[i] = true
		}
		if differs && marks == nil {
			texts, marks = make([]string, dict.Len()), make([]uint8, dict.Len())
			for k := range i {
				texts[k] = dict.Value(k)
			}
		}
		every = every && differs
		if marks != nil {
			texts[i] = text
			if differs {
				marks[i] = 1
			}
		}
	}
	changed := int64(0)
	switch {
	case marks != nil && every:
		changed = int64(a.Len() - a.NullN())
	case marks != nil:
		changed = countRows(indices, marks)
	}
	if changed == 0 {
		a.Retain()
		return a, 0
	}

	ids := make(map[string]int32, dict.Len())
	remap := make([]int32, dict.Len())
	identity := true
	b := array.NewStringBuilder(mem)
	defer b.Release()
	for i := range dict.Len() {
		if compact && !used.Has(i) {
			continue
		}
		if nulls[i] {
			remap[i], identity = none, false
			continue
		}
		id, ok := ids[texts[i]]
		if !ok {
			id = int32(b.Len())
			ids[texts[i]] = id
			b.Append(texts[i])
		}
		remap[i] = id
		identity = identity && id == int32(i)
	}
	entries := b.NewArray()
	defer entries.Release()
	if identity {
		return withDictionary(a, entries), changed
	}
	return remapped(mem, a, remap, entries, len(nulls) > 0), changed
}

// usedEntries marks the dictionary entries that a row refers to; it is only
// worth its pass over the rows where wanted.
func usedEntries(indices *array.Int32, entries int, wanted bool) table.Mask {
	if !wanted {
		return table.Mask{}
	}
	used := table.NewMask(entries)
	for i, id := range indices.Int32Values() {
		if indices.IsValid(i) {
			used.Set(int(id))
		}
	}
	return used
}

// countRows returns the number of rows whose entry is marked with 1.
func countRows(indices *array.Int32, marks []uint8) int64 {
	n := int64(0)
	if indices.NullN() == 0 {
		for _, id := range indices.Int32Values() {
			n += int64(marks[id])
		}
		return n
	}
	for i, id := range indices.Int32Values() {
		if indices.IsValid(i) {
			n += int64(marks[id])
		}
	}
	return n
}

// withDictionary returns a with other entries under the same indices, which
// are shared.
func withDictionary(a *array.Dictionary, entries arrow.Array) arrow.Array {
	old := a.Data()
	data := array.NewDataWithDictionary(old.DataType(), old.Len(), old.Buffers(), a.NullN(), old.Offset(), entries.Data().(*array.Data))
	defer data.Release()
	return array.NewDictionaryData(data)
}

// remapped returns a with index i replaced by remap[i] and the new entries; nulls
// says that some become none.
func remapped(mem memory.Allocator, a *array.Dictionary, remap []int32, entries arrow.Array, nulls bool) arrow.Array {
	indices, valid := a.Indices().(*array.Int32), table.Valid(a)
	buf, out := table.Alloc(mem, a.Len(), arrow.Int32Traits)
	if indices.NullN() == 0 && !nulls {
		for i, id := range indices.Int32Values() {
			out[i] = remap[id]
		}
		return table.NewText(mem, a.Len(), buf, valid, entries)
	}
	for i, id := range indices.Int32Values() {
		out[i] = 0
		if !valid.Has(i) {
			continue
		}
		if out[i] = remap[id]; out[i] == none {
			out[i] = 0
			valid.Clear(i)
		}
	}
	return table.NewText(mem, a.Len(), buf, valid, entries)
}
