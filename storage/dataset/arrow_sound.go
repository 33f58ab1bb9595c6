package dataset

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
)

// withoutViews returns the type that a column has behind sound: strings that are views
// are copied, and dictionaries have indices of one type.
func withoutViews(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String
	case *arrow.DictionaryType:
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: withoutViews(t.ValueType)}
	}
	return t
}

// sounder checks the columns of record batches.
type sounder struct {
	// memory is what copies and the elements of lists are taken from: views may share their
	// bytes, and elements that are all null have none, so that there is no bound to what few
	// bytes become.
	memory *bounded
	// repair has bytes that are no UTF-8 be replaced.
	repair bool
	// lists says that lists of any kind are taken, and that their elements are decoded, each to
	// elementBytes; else that of none but those that have no bytes of their own.
	lists bool
}

// elementBytes is what an element of a list takes once it is decoded.
const elementBytes = 9

// sound returns a column of rows as it was read, or with its strings copied, once it is
// seen that what it says of itself fits together: then reading its values cannot fail.
func (s sounder) sound(a arrow.Array, rows int) (arrow.Array, error) {
	data := a.Data()
	if a.Len() != rows || data.Offset() != 0 {
		return nil, fmt.Errorf("it has %d rows, its batch %d", a.Len(), rows)
	}
	if err := soundNulls(data); err != nil {
		return nil, err
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return s.dictionary(a)
	case *array.List:
		offsets := arrow.Int32Traits.CastFromBytes(bufferOf(data, 1))
		if rows > 0 && len(offsets) < rows+1 || !ascending(offsets, rows, a.ListValues().Len()) {
			return nil, errors.New("lists that do not lie in their elements")
		}
		return a, s.elements(a)
	case *array.LargeList:
		offsets := arrow.Int64Traits.CastFromBytes(bufferOf(data, 1))
		if rows > 0 && len(offsets) < rows+1 || !ascending(offsets, rows, a.ListValues().Len()) {
			return nil, errors.New("lists that do not lie in their elements")
		}
		return s.anyList(a)
	case *array.FixedSizeList:
		if n := int64(a.DataType().(*arrow.FixedSizeListType).Len()); n < 0 || int64(a.ListValues().Len()) < n*int64(rows) {
			return nil, errors.New("lists that do not lie in their elements")
		}
		return s.anyList(a)
	case *array.String:
		if !ascending(arrow.Int32Traits.CastFromBytes(bufferOf(data, 1)), rows, len(bufferOf(data, 2))) {
			return nil, errors.New("strings that do not lie in their bytes")
		}
		return s.legible(a, a.Value), nil
	case *array.LargeString:
		if !ascending(arrow.Int64Traits.CastFromBytes(bufferOf(data, 1)), rows, len(bufferOf(data, 2))) {
			return nil, errors.New("strings that do not lie in their bytes")
		}
		return s.legible(a, a.Value), nil
	case *array.StringView:
		return s.copied(a, a.Value), nil
	case *array.Null:
		return a, nil
	}
	bits := 0
	if fixed, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		bits = fixed.BitWidth()
	}
	if bits == 0 {
		return nil, fmt.Errorf("no column is of type %s", a.DataType())
	}
	if (rows*bits+7)/8 > len(bufferOf(data, 1)) {
		return nil, fmt.Errorf("%d rows of %s in %d bytes", rows, a.DataType(), len(bufferOf(data, 1)))
	}
	return a, nil
}

// bufferOf returns the bytes of a buffer, none where it is not there.
func bufferOf(data arrow.ArrayData, i int) []byte {
	if i >= len(data.Buffers()) || data.Buffers()[i] == nil {
		return nil
	}
	return data.Buffers()[i].Bytes()
}

// soundNulls checks the bitmap of nulls.
func soundNulls(data arrow.ArrayData) error {
	bitmap := bufferOf(data, 0)
	if data.DataType().ID() == arrow.NULL || bitmap == nil && data.NullN() == 0 {
		return nil
	}
	if len(bitmap)*8 < data.Len() {
		return fmt.Errorf("%d rows, of which %d bytes say which are null", data.Len(), len(bitmap))
	}
	if n := data.Len() - bitutil.CountSetBits(bitmap, 0, data.Len()); n != data.NullN() {
		return fmt.Errorf("%d nulls, and it says that there are %d", n, data.NullN())
	}
	return nil
}

// ascending reports whether the ends of rows lie in order within what they are of.
func ascending[T int32 | int64](offsets []T, rows, size int) bool {
	if rows == 0 {
		return true
	}
	if len(offsets) < rows+1 || offsets[0] < 0 || int64(offsets[rows]) > int64(size) {
		return false
	}
	for i, o := range offsets[1 : rows+1] {
		if o < offsets[i] {
			return false
		}
	}
	return true
}

// anyList is a list of a kind that shards have no columns of.
func (s sounder) anyList(a array.ListLike) (arrow.Array, error) {
	if !s.lists {
		return nil, fmt.Errorf("no column is of type %s", a.DataType())
	}
	return a, s.elements(a)
}

// elements checks those of lists.
func (s sounder) elements(a array.ListLike) error {
	values := a.ListValues()
	if s.lists || values.DataType().ID() == arrow.NULL {
		s.memory.take(elementBytes * values.Len())
	}
	_, err := s.sound(values, values.Len())
	return err
}

// legible returns a column of strings, with repair a copy of it where bytes are no UTF-8.
func (s sounder) legible(a arrow.Array, value func(int) string) arrow.Array {
	for i := 0; s.repair && i < a.Len(); i++ {
		if !utf8.ValidString(value(i)) {
			return s.copied(a, value)
		}
	}
	return a
}

// copied returns a copy of a column of strings, with repair as JSON decoders repair them.
func (s sounder) copied(a arrow.Array, value func(int) string) arrow.Array {
	size := 0
	for i := range a.Len() {
		if size += len(value(i)); size > maxArrowBytes {
			s.memory.take(size) // which has not so much: the sum cannot overflow
		}
	}
	b := array.NewBuilder(s.memory, withoutViews(a.DataType())).(array.StringLikeBuilder)
	defer b.Release()
	b.Resize(a.Len())
	b.(interface{ ReserveData(int) }).ReserveData(size)
	for i := range a.Len() {
		switch {
		case a.IsNull(i):
			b.AppendNull()
		case s.repair:
			b.Append(strings.ToValidUTF8(value(i), "\uFFFD"))
		default:
			b.Append(value(i))
		}
	}
	return b.NewArray()
}

// dictionary checks the indices of a column, and gives those of nulls, and a column without
// words, a word that is there. The index of a word that is null is null.
func (s sounder) dictionary(a *array.Dictionary) (arrow.Array, error) {
	words, err := s.sound(a.Dictionary(), a.Dictionary().Len())
	if err != nil {
		return nil, err
	}
	n := words.Len()
	if n == 0 {
		b := array.NewBuilder(s.memory, words.DataType())
		defer b.Release()
		b.AppendEmptyValue()
		words = b.NewArray()
	}
	index := array.NewInt32Builder(s.memory)
	defer index.Release()
	index.Resize(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) {
			index.AppendNull()
			continue
		}
		at := a.GetValueIndex(i)
		if at < 0 || at >= n {
			return nil, fmt.Errorf("an index %d into %d words", at, n)
		}
		if words.IsNull(at) || words.DataType().ID() == arrow.NULL {
			index.AppendNull()
			continue
		}
		index.UnsafeAppend(int32(at))
	}
	indices := index.NewInt32Array()
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: words.DataType()}
	return array.NewDictionaryArray(t, indices, words), nil
}
