package table

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// text is an array of strings of either offset width.
type text interface {
	arrow.Array
	Value(i int) string
}

// fromText gives each distinct string of a an entry in a dictionary, in the
// order of their first rows.
func fromText(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	d := newDictionary(mem)
	defer d.release()
	values, valid := a.(text), Valid(a)
	buf, ids := newIndices(mem, a.Len())
	var last string
	var lastID int32 = -1
	for i := range a.Len() {
		if !valid.Has(i) {
			continue
		}
		if v := values.Value(i); lastID < 0 || v != last {
			id, err := d.id(v)
			if err != nil {
				buf.Release()
				return nil, err
			}
			last, lastID = v, id
		}
		ids[i] = lastID
	}
	return d.column(mem, buf, valid), nil
}

// fromDictionary shares a dictionary of utf8 with int32 indices, and
// rewrites another index type, large strings and null entries.
func fromDictionary(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	d := a.(*array.Dictionary)
	entries := d.Dictionary()
	_, plain := entries.(*array.String)
	if plain && entries.NullN() == 0 && d.Indices().DataType().ID() == arrow.INT32 {
		if arrow.TypeEqual(a.DataType(), String.ArrowType()) {
			a.Retain()
			return a, nil
		}
		return array.NewDictionaryArray(String.ArrowType(), d.Indices(), entries), nil
	}
	if entries.Len() > math.MaxInt32 {
		return nil, &thalweg.Error{Kind: thalweg.Exhausted, Subject: fmt.Sprintf("a dictionary of %d entries", entries.Len())}
	}
	fresh := newDictionary(mem)
	defer fresh.release()
	ids := make([]int32, entries.Len())
	for i := range ids {
		if entries.IsNull(i) {
			ids[i] = -1
			continue
		}
		var err error
		if ids[i], err = fresh.id(entries.(text).Value(i)); err != nil {
			return nil, err
		}
	}
	return fresh.reindex(mem, d, ids), nil
}

// reindex returns the rows of old, by the new ids of its entries; -1 is null.
func (d *dictionary) reindex(mem memory.Allocator, old *array.Dictionary, ids []int32) arrow.Array {
	buf, out := newIndices(mem, old.Len())
	valid := Valid(old)
	for i := range out {
		if !valid.Has(i) {
			continue
		}
		if id := ids[old.GetValueIndex(i)]; id >= 0 {
			out[i] = id
		} else {
			valid.Clear(i)
		}
	}
	return d.column(mem, buf, valid)
}

// newIndices returns the ids of n rows, zero at first.
func newIndices(mem memory.Allocator, n int) (*memory.Buffer, []int32) {
	buf, ids := Alloc(mem, n, arrow.Int32Traits)
	clear(ids)
	return buf, ids
}

// dictionary collects distinct strings.
type dictionary struct {
	entries *array.StringBuilder
	ids     map[string]int32
	bytes   int
}

func newDictionary(mem memory.Allocator) *dictionary {
	return &dictionary{entries: array.NewStringBuilder(mem), ids: make(map[string]int32)}
}

func (d *dictionary) release() { d.entries.Release() }

// id returns the id of s, a new one the first time. The strings of one
// dictionary have at most 2^31-1 bytes, what its offsets can count.
func (d *dictionary) id(s string) (int32, error) {
	if id, ok := d.ids[s]; ok {
		return id, nil
	}
	if d.bytes += len(s); d.bytes > math.MaxInt32 {
		return 0, &thalweg.Error{Kind: thalweg.Exhausted, Subject: "distinct strings of one batch", Hint: "at most 2 GiB"}
	}
	id := int32(d.entries.Len())
	d.entries.Append(s)
	d.ids[s] = id
	return id, nil
}

// column returns the column of the rows that have the ids in a buffer, which it
// takes over; rows that valid does not mark are null.
func (d *dictionary) column(mem memory.Allocator, ids *memory.Buffer, valid Mask) arrow.Array {
	if d.entries.Len() == 0 { // of rows that are all null, whose indices are 0
		d.entries.Append("")
	}
	entries := d.entries.NewArray()
	defer entries.Release()
	return NewText(mem, valid.Rows, ids, valid, entries)
}
