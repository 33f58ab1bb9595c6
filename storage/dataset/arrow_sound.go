package dataset

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"
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

// sound returns a column of rows as it was read, or with its strings copied, once it is
// seen that what it says of itself fits together: then reading its values cannot fail. With
// repair bytes that are no UTF-8 are replaced.
func sound(a arrow.Array, rows int, repair bool) (arrow.Array, error) {
	data := a.Data()
	if a.Len() != rows || data.Offset() != 0 {
		return nil, fmt.Errorf("it has %d rows, its batch %d", a.Len(), rows)
	}
	if err := soundNulls(data); err != nil {
		return nil, err
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return soundDictionary(a, repair)
	case *array.List:
		offsets := arrow.Int32Traits.CastFromBytes(bufferOf(data, 1))
		if rows > 0 && len(offsets) < rows+1 || !ascending(offsets, rows, a.ListValues().Len()) {
			return nil, errors.New("lists that do not lie in their elements")
		}
		_, err := sound(a.ListValues(), a.ListValues().Len(), repair)
		return a, err
	case *array.String:
		if !ascending(arrow.Int32Traits.CastFromBytes(bufferOf(data, 1)), rows, len(bufferOf(data, 2))) {
			return nil, errors.New("strings that do not lie in their bytes")
		}
		return legible(a, a.Value, repair), nil
	case *array.LargeString:
		if !ascending(arrow.Int64Traits.CastFromBytes(bufferOf(data, 1)), rows, len(bufferOf(data, 2))) {
			return nil, errors.New("strings that do not lie in their bytes")
		}
		return legible(a, a.Value, repair), nil
	case *array.StringView:
		return copied(a, a.Value), nil
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

// legible returns a column of strings, with repair a copy of it where bytes are no UTF-8.
func legible(a arrow.Array, value func(int) string, repair bool) arrow.Array {
	for i := 0; repair && i < a.Len(); i++ {
		if !utf8.ValidString(value(i)) {
			return copied(a, value)
		}
	}
	return a
}

// copied returns a copy of a column of strings, repaired as JSON decoders do.
func copied(a arrow.Array, value func(int) string) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, withoutViews(a.DataType())).(array.StringLikeBuilder)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(strings.ToValidUTF8(value(i), "\uFFFD"))
		}
	}
	return b.NewArray()
}

// soundDictionary checks the indices of a column, and gives those of nulls, and a column
// without words, a word that is there.
func soundDictionary(a *array.Dictionary, repair bool) (arrow.Array, error) {
	words, err := sound(a.Dictionary(), a.Dictionary().Len(), repair)
	if err != nil {
		return nil, err
	}
	n := words.Len()
	if n == 0 {
		b := array.NewBuilder(memory.DefaultAllocator, words.DataType())
		defer b.Release()
		b.AppendEmptyValue()
		words = b.NewArray()
	}
	index := array.NewInt32Builder(memory.DefaultAllocator)
	defer index.Release()
	index.Reserve(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) {
			index.AppendNull()
			continue
		}
		at := a.GetValueIndex(i)
		if at < 0 || at >= n {
			return nil, fmt.Errorf("an index %d into %d words", at, n)
		}
		index.UnsafeAppend(int32(at))
	}
	indices := index.NewInt32Array()
	t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: words.DataType()}
	return array.NewDictionaryArray(t, indices, words), nil
}
