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
	values, indices := a.(text), newIndices(mem, a.Len())
	nulls := a.NullN() > 0
	var last string
	var lastID int32 = -1
	for i := range a.Len() {
		if nulls && a.IsNull(i) {
			continue
		}
		if v := values.Value(i); lastID < 0 || v != last {
			id, err := d.id(v)
			if err != nil {
				indices.buf.Release()
				return nil, err
			}
			last, lastID = v, id
		}
		indices.ids[i] = lastID
	}
	return d.array(withValues(mem, arrow.PrimitiveTypes.Int32, a, indices.buf)), nil
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
	return fresh.array(reindex(mem, d, ids)), nil
}

// reindex returns the rows of d by new ids of its entries; -1 is null.
func reindex(mem memory.Allocator, d *array.Dictionary, ids []int32) arrow.Array {
	out := newIndices(mem, d.Len())
	defer out.buf.Release()
	valid := Valid(d)
	for i := range out.ids {
		if !valid.Has(i) {
			continue
		}
		if id := ids[d.GetValueIndex(i)]; id >= 0 {
			out.ids[i] = id
		} else {
			valid.Clear(i)
		}
	}
	var validity *memory.Buffer
	nulls := d.Len() - valid.Count()
	if nulls > 0 {
		validity = memory.NewResizableBuffer(mem)
		defer validity.Release()
		validity.Resize((d.Len() + 7) / 8)
		valid.Store(validity.Bytes())
	}
	data := array.NewData(arrow.PrimitiveTypes.Int32, d.Len(), []*memory.Buffer{validity, out.buf}, nil, nulls, 0)
	defer data.Release()
	return array.NewInt32Data(data)
}

// indices are the ids of rows, zero at first.
type indices struct {
	buf *memory.Buffer
	ids []int32
}

func newIndices(mem memory.Allocator, n int) indices {
	buf := memory.NewResizableBuffer(mem)
	buf.Resize(arrow.Int32Traits.BytesRequired(n))
	ids := arrow.Int32Traits.CastFromBytes(buf.Bytes())[:n]
	clear(ids)
	return indices{buf, ids}
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

// array returns the dictionary array of rows, which it takes over.
func (d *dictionary) array(rows arrow.Array) arrow.Array {
	defer rows.Release()
	entries := d.entries.NewArray()
	defer entries.Release()
	return array.NewDictionaryArray(String.ArrowType(), rows, entries)
}
