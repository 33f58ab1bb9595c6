package table

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Traits is what arrow's type traits (arrow.Int64Traits) offer for a type of
// fixed width.
type Traits[T any] interface {
	BytesRequired(n int) int
	CastFromBytes(b []byte) []T
}

// Alloc returns a buffer of n values, and the values in it, whose contents are
// not defined.
func Alloc[T any](mem memory.Allocator, n int, t Traits[T]) (*memory.Buffer, []T) {
	buf := memory.NewResizableBuffer(mem)
	buf.Resize(t.BytesRequired(n))
	return buf, t.CastFromBytes(buf.Bytes())[:n]
}

// NewColumn returns an array of type t of n values in a buffer, which it takes
// over; rows that valid does not mark are null. The zero Mask says that no row
// is.
func NewColumn(mem memory.Allocator, t Type, n int, values *memory.Buffer, valid Mask) arrow.Array {
	defer values.Release()
	validity, nulls := valid.validity(mem)
	if validity != nil {
		defer validity.Release()
	}
	data := array.NewData(t.ArrowType(), n, []*memory.Buffer{validity, values}, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// NewText returns a String column of n indices in a buffer, which it takes over,
// into entries, an array of strings that stays the caller's; rows that valid
// does not mark are null. The zero Mask says that no row is.
func NewText(mem memory.Allocator, n int, indices *memory.Buffer, valid Mask, entries arrow.Array) arrow.Array {
	defer indices.Release()
	validity, nulls := valid.validity(mem)
	if validity != nil {
		defer validity.Release()
	}
	data := array.NewDataWithDictionary(String.ArrowType(), n, []*memory.Buffer{validity, indices}, nulls, 0, entries.Data().(*array.Data))
	defer data.Release()
	return array.NewDictionaryData(data)
}

// Buffer returns m as a bitmap, the form of an Arrow column of bools.
func (m Mask) Buffer(mem memory.Allocator) *memory.Buffer {
	buf := memory.NewResizableBuffer(mem)
	buf.Resize((m.Rows + 7) / 8)
	m.Store(buf.Bytes())
	return buf
}

// validity returns m as a validity bitmap, or none where it marks every row,
// and the number of nulls.
func (m Mask) validity(mem memory.Allocator) (*memory.Buffer, int) {
	nulls := m.Rows - m.Count()
	if nulls == 0 {
		return nil, 0
	}
	return m.Buffer(mem), nulls
}
