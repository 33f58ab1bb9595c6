package table

import (
	"errors"
	"fmt"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// ListOf returns the type of lists of elements of a type; "" where there is none.
func ListOf(element Type) Type {
	for _, t := range Types() {
		if element != "" && t.Element() == element {
			return t
		}
	}
	return ""
}

// Element returns the type of the elements of a list; "" of what is no list.
func (t Type) Element() Type {
	switch t {
	case Int64List:
		return Int64
	case Float64List:
		return Float64
	case BoolList:
		return Bool
	}
	return ""
}

// Lists is a view of a column of lists: that of row i has the values
// [Offsets[i], Offsets[i+1]). A null has any number of them, which nobody reads.
type Lists struct {
	Offsets []int32
	Values  arrow.Array
}

// ListsIn returns a view of a, which keeps its memory.
func ListsIn(a *array.List) Lists {
	l := Lists{Offsets: []int32{0}, Values: a.ListValues()}
	if data := a.Data(); data.Len() > 0 {
		l.Offsets = arrow.Int32Traits.CastFromBytes(data.Buffers()[1].Bytes())[data.Offset() : data.Offset()+data.Len()+1]
	}
	return l
}

// NewList returns a column of lists of a type: offsets, which it takes over, one
// more than there are rows, into elements, which stay the caller's. Rows that valid
// does not mark are null; the zero Mask says that none is.
func NewList(mem memory.Allocator, t Type, n int, offsets *memory.Buffer, valid Mask, elements arrow.Array) arrow.Array {
	defer offsets.Release()
	validity, nulls := valid.validity(mem)
	if validity != nil {
		defer validity.Release()
	}
	data := array.NewData(t.ArrowType(), n, []*memory.Buffer{validity, offsets}, []arrow.ArrayData{elements.Data()}, nulls, 0)
	defer data.Release()
	return array.NewListData(data)
}

// convertLists converts the elements of lists, which keep their places.
func convertLists(t Type, convert conversion) conversion {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
		l := ListsIn(a.(*array.List))
		elements, err := convert(mem, l.Values)
		var bad *badValue
		if errors.As(err, &bad) {
			row := sort.Search(len(l.Offsets), func(i int) bool { return int(l.Offsets[i]) > bad.row }) - 1
			return nil, &badValue{row: max(row, 0), what: fmt.Sprintf("element %d %s", bad.row-int(l.Offsets[max(row, 0)]), bad.what)}
		}
		if err != nil {
			return nil, err
		}
		defer elements.Release()
		data := array.NewData(t.ArrowType(), a.Len(), a.Data().Buffers(), []arrow.ArrayData{elements.Data()}, a.NullN(), a.Data().Offset())
		defer data.Release()
		return array.NewListData(data), nil
	}
}

// selectLists returns the n lists that keep marks.
func selectLists(mem memory.Allocator, a *array.List, keep Mask, n int, valid Mask) (arrow.Array, error) {
	l := ListsIn(a)
	first, last := l.Offsets[0], l.Offsets[len(l.Offsets)-1]
	buf, offsets := Alloc(mem, n+1, arrow.Int32Traits)
	elements, next := NewMask(int(last-first)), int32(0)
	offsets = offsets[:1]
	offsets[0] = 0
	for i := range keep.Marked() {
		for e := l.Offsets[i]; e < l.Offsets[i+1]; e++ {
			elements.Set(int(e - first))
		}
		next += l.Offsets[i+1] - l.Offsets[i]
		offsets = append(offsets, next)
	}
	values := array.NewSlice(l.Values, int64(first), int64(last))
	defer values.Release()
	kept, err := selectColumn(mem, values, elements, int(next))
	if err != nil {
		buf.Release()
		return nil, err
	}
	defer kept.Release()
	return NewList(mem, TypeOf(a.DataType()), n, buf, valid, kept), nil
}
