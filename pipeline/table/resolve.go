package table

import (
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Resolver returns what the values of a column become, by rows that are not null: what text
// makes of a string or a bool, and integer of an int64; nil of another column. A text is as
// JSON can have it, and is asked for once, when the first row has it.
func Resolver[T any](column arrow.Array, text func(string) T, integer func(int64) T) func(row int) T {
	switch a := column.(type) {
	case *array.Dictionary:
		entries := a.Dictionary().(*array.String)
		// Few rows hardly share an entry of many.
		of := once(min(entries.Len(), a.Len()), func(k int) T { return text(strings.ToValidUTF8(entries.Value(k), "\uFFFD")) })
		return func(row int) T { return of(a.GetValueIndex(row)) }
	case *array.Int64:
		return func(row int) T { return integer(a.Value(row)) }
	case *array.Boolean:
		of, values := once(2, func(k int) T { return text(strconv.FormatBool(k == 1)) }), Indicators(a)
		return func(row int) T { return of(int(values[row])) }
	}
	return nil
}

// once returns f, which is called once for each of the first n integers.
func once[T any](n int, f func(k int) T) func(k int) T {
	known, values := NewMask(n), make([]T, n)
	return func(k int) T {
		if k >= n {
			return f(k)
		}
		if !known.Has(k) {
			values[k] = f(k)
			known.Set(k)
		}
		return values[k]
	}
}

// ByText returns what text makes of integers, which is asked for each once.
func ByText[T any](text func(string) T) func(int64) T {
	known := make(map[int64]T)
	return func(v int64) T {
		t, ok := known[v]
		if !ok {
			t = text(strconv.FormatInt(v, 10))
			known[v] = t
		}
		return t
	}
}
