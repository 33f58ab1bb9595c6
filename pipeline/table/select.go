package table

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// Select returns the rows of batch that keep marks, in order. The result is
// the batch itself, retained, where all rows stay, a slice without copies where
// those that stay are neighbours, and else a copy in memory of mem;
// dictionaries are shared in each case. The caller releases it. Columns are of
// the canonical types; another is Unsupported.
func Select(mem memory.Allocator, batch arrow.Record, keep Mask) (arrow.Record, error) {
	n := keep.Count()
	from, to := keep.span()
	switch {
	case n == keep.Rows:
		batch.Retain()
		return batch, nil
	case to-from == n:
		return batch.NewSlice(int64(from), int64(to)), nil
	}
	columns := make([]arrow.Array, 0, batch.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, c := range batch.Columns() {
		kept, err := selectColumn(mem, c, keep, n)
		if err != nil {
			return nil, &thalweg.Error{Op: "select rows", Kind: thalweg.Unsupported,
				Subject: "column " + batch.ColumnName(i), Err: err}
		}
		columns = append(columns, kept)
	}
	return array.NewRecord(batch.Schema(), columns, int64(n)), nil
}

// Rows returns the values of the batch's RowColumn, which the batch keeps.
func Rows(batch arrow.Record) []int64 {
	return batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
}

// RowNumbers appends to dst the values of the batch's RowColumn in the rows
// that m marks.
func RowNumbers(dst []int64, batch arrow.Record, m Mask) []int64 {
	rows := Rows(batch)
	for i := range m.Marked() {
		dst = append(dst, rows[i])
	}
	return dst
}

func selectColumn(mem memory.Allocator, a arrow.Array, keep Mask, n int) (arrow.Array, error) {
	var valid Mask
	if a.NullN() > 0 {
		valid = selectBits(Valid(a), keep, n)
	}
	switch c := a.(type) {
	case *array.Int64:
		return NewColumn(mem, Int64, n, selectValues(mem, c.Int64Values(), keep, n, arrow.Int64Traits), valid), nil
	case *array.Float64:
		return NewColumn(mem, Float64, n, selectValues(mem, c.Float64Values(), keep, n, arrow.Float64Traits), valid), nil
	case *array.Timestamp:
		return NewColumn(mem, Timestamp, n, selectValues(mem, c.TimestampValues(), keep, n, arrow.TimestampTraits), valid), nil
	case *array.Boolean:
		values := NewMask(keep.Rows)
		if keep.Rows > 0 { // else there may be no buffer
			loadBits(values.Words, a.Data().Buffers()[1].Bytes(), a.Data().Offset(), keep.Rows)
		}
		return NewColumn(mem, Bool, n, selectBits(values, keep, n).Buffer(mem), valid), nil
	case *array.Dictionary:
		if indices, ok := c.Indices().(*array.Int32); ok {
			return NewText(mem, n, selectValues(mem, indices.Int32Values(), keep, n, arrow.Int32Traits), valid, c.Dictionary()), nil
		}
	case *array.List:
		return selectLists(mem, c, keep, n, valid)
	}
	return nil, fmt.Errorf("%s is not a canonical type", a.DataType())
}

// selectValues returns the n values of src that keep marks. A word of 64 rows
// that all stay is one copy.
func selectValues[T any](mem memory.Allocator, src []T, keep Mask, n int, t Traits[T]) *memory.Buffer {
	buf, out := Alloc(mem, n, t)
	k := 0
	for w, word := range keep.Words {
		if word == ^uint64(0) {
			k += copy(out[k:], src[w*64:w*64+64])
			continue
		}
		rows := src[w*64:]
		for ; word != 0; word &= word - 1 {
			out[k] = rows[bits.TrailingZeros64(word)]
			k++
		}
	}
	return buf
}

// selectBits packs the bits of src that keep marks, n of them.
func selectBits(src, keep Mask, n int) Mask {
	out := NewMask(n)
	at := 0
	for w, word := range keep.Words {
		marked := bits.OnesCount64(word)
		if marked == 0 {
			continue
		}
		packed := src.Words[w]
		switch {
		case word == ^uint64(0):
		case packed&word == word:
			packed = 1<<marked - 1
		default:
			packed = packBits(packed, word)
		}
		out.Words[at>>6] |= packed << (at & 63)
		if spill := at&63 + marked - 64; spill > 0 {
			out.Words[at>>6+1] |= packed >> (marked - spill)
		}
		at += marked
	}
	return out
}

// packBits gathers the bits of v under the ones of mask into the low bits.
func packBits(v, mask uint64) uint64 {
	var out uint64
	for k := 0; mask != 0; k++ {
		out |= v >> bits.TrailingZeros64(mask) & 1 << k
		mask &= mask - 1
	}
	return out
}

// RowNumber returns the value of row i of the batch in its RowColumn.
func RowNumber(batch arrow.Record, i int) int64 {
	return batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Value(i)
}
