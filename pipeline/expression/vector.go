package expression

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// chunk is the number of rows that an operation treats at once: a multiple of 64, so
// that masks are cut between words, and small enough for the first-level cache.
const chunk = 1024

// vector is the value of a node for each row. The field of its type is set:
// ints for Int64 and Timestamp, floats for Float64, bits for Bool, ids with text
// for String. What a null row holds there is arbitrary, an id even out of
// range, except that bits are clear. Vectors share masks and slices: whoever
// changes one makes a copy first.
type vector struct {
	t      table.Type
	ints   []int64
	floats []float64
	bits   table.Mask
	ids    []int32
	text   text
	// valid marks the rows that are not null; no words: all rows.
	valid table.Mask
	// constant: ints, floats or ids hold chunk equal values that stand for all
	// rows.
	constant bool
	// borrowed: ints, floats or ids are memory of a batch.
	borrowed bool
	// whole is the array that the vector is a plain view of, if it is one.
	whole arrow.Array
}

// load returns the view of a column. NaN becomes null.
func load(t table.Type, a arrow.Array) vector {
	v := vector{t: t, borrowed: true, whole: a}
	if a.NullN() > 0 {
		v.valid = table.Valid(a)
	}
	switch t {
	case table.Int64, table.Timestamp:
		v.ints = table.Values[int64](a)
	case table.Float64:
		v.floats = table.Values[float64](a)
		if slices.ContainsFunc(v.floats, isNaN) {
			v.whole = nil
			v.nullFloats(isNaN)
		}
	case table.Bool:
		v.bits = table.True(a.(*array.Boolean))
	case table.String:
		d := a.(*array.Dictionary)
		v.ids = table.Values[int32](d.Indices())
		v.text.array = d.Dictionary().(*array.String)
	}
	return v
}

func isNaN(x float64) bool { return x != x }

// isNotFinite reports NaN and infinities.
func isNotFinite(x float64) bool { return x-x != 0 }

// nullFloats makes the floats that are bad null.
func (v *vector) nullFloats(bad func(float64) bool) {
	v.valid = owned(v.valid, len(v.floats))
	for i, x := range v.floats {
		if bad(x) {
			v.valid.Clear(i)
		}
	}
}

// nullIfNotFinite makes the floats that are not finite null.
func (v *vector) nullIfNotFinite() {
	var sum float64 // stays 0 while all are finite
	for _, x := range v.floats {
		sum += x - x
	}
	if sum != 0 {
		v.nullFloats(isNotFinite)
	}
}

// owned returns a copy of m, all rows where m has no words.
func owned(m table.Mask, rows int) table.Mask {
	if m.Words == nil {
		return table.NewMask(rows).Not()
	}
	return table.Mask{Words: slices.Clone(m.Words), Rows: m.Rows}
}

// both returns the rows that a and b mark, where a mask without words marks
// all. The result may be one of them.
func both(a, b table.Mask) table.Mask {
	if a.Words == nil {
		return b
	}
	if b.Words == nil {
		return a
	}
	a = owned(a, a.Rows)
	a.And(b)
	return a
}

// intsAt returns the values of rows [from, to), at most chunk of them.
func (v *vector) intsAt(from, to int) []int64 {
	return stretch(v.ints, v.constant, from, to)
}

func (v *vector) floatsAt(from, to int) []float64 {
	return stretch(v.floats, v.constant, from, to)
}

func (v *vector) idsAt(from, to int) []int32 {
	return stretch(v.ids, v.constant, from, to)
}

func stretch[T any](values []T, constant bool, from, to int) []T {
	if constant {
		return values[:to-from]
	}
	return values[from:to]
}

// chunks calls fn for each run of at most chunk rows.
func chunks(rows int, fn func(from, to int)) {
	for from := 0; from < rows; from += chunk {
		fn(from, min(from+chunk, rows))
	}
}

// array returns the vector as an Arrow array, which owns its memory or
// retains what it shares.
func (v *vector) array(rows int) arrow.Array {
	if v.whole != nil {
		v.whole.Retain()
		return v.whole
	}
	var values []byte
	switch v.t {
	case table.Int64, table.Timestamp:
		values = arrow.Int64Traits.CastToBytes(owning(v, v.ints, rows))
	case table.Float64:
		values = arrow.Float64Traits.CastToBytes(owning(v, v.floats, rows))
	case table.Bool:
		values = make([]byte, (rows+7)/8)
		v.bits.Store(values)
	case table.String:
		values = arrow.Int32Traits.CastToBytes(owning(v, v.ids, rows))
		entries := v.text.entries()
		defer entries.Release()
		return table.NewText(memory.DefaultAllocator, rows, memory.NewBufferBytes(values), v.valid, entries)
	}
	return table.NewColumn(memory.DefaultAllocator, v.t, rows, memory.NewBufferBytes(values), v.valid)
}

// owning returns values that nobody else holds.
func owning[T any](v *vector, values []T, rows int) []T {
	switch {
	case v.constant && rows > 0:
		return slices.Repeat(values[:1], rows)
	case v.borrowed:
		return slices.Clone(values)
	}
	return values
}

// bytes returns what the strings take that entries copies.
func (t text) bytes() (n int) {
	for _, s := range t.list {
		n += len(s)
	}
	return n
}

// entries returns the strings as an array, which the caller releases.
func (t text) entries() arrow.Array {
	if t.array != nil {
		t.array.Retain()
		return t.array
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(t.list, nil)
	return b.NewArray()
}
