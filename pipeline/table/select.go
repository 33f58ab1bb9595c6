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

// RowNumbers appends to dst the values of the batch's RowColumn in the rows
// that m marks.
func RowNumbers(dst []int64, batch arrow.Record, m Mask) []int64 {
	rows := batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
	for w, word := range m.Words {
		for ; word != 0; word &= word - 1 {
			dst = append(dst, rows[w*64+bits.TrailingZeros64(word)])
		}
	}
	return dst
}

func selectColumn(mem memory.Allocator, a arrow.Array, keep Mask, n int) (arrow.Array, error) {
	data := a.Data()
	validity, nulls := selectValidity(mem, a, keep, n)
	values := memory.NewResizableBuffer(mem)
	defer values.Release()
	if validity != nil {
		defer validity.Release()
	}
	switch c := a.(type) {
	case *array.Int64:
		selectValues(values, c.Int64Values(), keep, n, arrow.Int64Traits)
	case *array.Float64:
		selectValues(values, c.Float64Values(), keep, n, arrow.Float64Traits)
	case *array.Timestamp:
		selectValues(values, c.TimestampValues(), keep, n, arrow.TimestampTraits)
	case *array.Boolean:
		src := NewMask(keep.Rows)
		loadBits(src.Words, data.Buffers()[1].Bytes(), data.Offset(), keep.Rows)
		values.Resize((n + 7) / 8)
		selectBits(src, keep, n).Store(values.Bytes())
	case *array.Dictionary:
		indices, ok := c.Indices().(*array.Int32)
		if !ok {
			return nil, notCanonical(a)
		}
		selectValues(values, indices.Int32Values(), keep, n, arrow.Int32Traits)
		out := array.NewDataWithDictionary(data.DataType(), n, []*memory.Buffer{validity, values}, nulls, 0,
			data.Dictionary().(*array.Data))
		defer out.Release()
		return array.NewDictionaryData(out), nil
	default:
		return nil, notCanonical(a)
	}
	out := array.NewData(data.DataType(), n, []*memory.Buffer{validity, values}, nil, nulls, 0)
	defer out.Release()
	return array.MakeFromData(out), nil
}

func notCanonical(a arrow.Array) error {
	return fmt.Errorf("%s is not a canonical type", a.DataType())
}

// selectValues fills dst with the n values of src that keep marks. A word of
// 64 rows that all stay is one copy.
func selectValues[T any](dst *memory.Buffer, src []T, keep Mask, n int, t Traits[T]) {
	dst.Resize(t.BytesRequired(n))
	out := t.CastFromBytes(dst.Bytes())[:n]
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
}

// selectValidity returns the validity bitmap of the rows that stay and the
// number of nulls among them; no buffer where there is none.
func selectValidity(mem memory.Allocator, a arrow.Array, keep Mask, n int) (*memory.Buffer, int) {
	if a.NullN() == 0 {
		return nil, 0
	}
	return selectBits(Valid(a), keep, n).validity(mem)
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
