package split

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline/table"
)

// columnOf returns the column of a batch that rows are split by; want is what it holds.
func columnOf[A arrow.Array](batch arrow.Record, name, want string) (a A, err error) {
	e := &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + name, Err: errors.New("is not there")}
	for _, i := range batch.Schema().FieldIndices(name) {
		if a, ok := batch.Column(i).(A); ok {
			return a, nil
		}
		e.Err = fmt.Errorf("holds %s, not %s", arrowtype.Name(batch.Column(i).DataType()), want)
	}
	return a, e
}

// resolve returns for each row of the column of a name what text or integer make of its
// value, and zero of a row without one. A bool goes by its text, true or false, a
// timestamp by its microseconds. Values that rows do not have are not asked for.
func resolve[T any](batch arrow.Record, name string, text func(string) T, integer func(int64) T) ([]T, error) {
	column, err := columnOf[arrow.Array](batch, name, "values")
	if err != nil {
		return nil, err
	}
	out := make([]T, column.Len())
	rows := func(do func(i int)) {
		for i := range out {
			if column.IsValid(i) {
				do(i)
			}
		}
	}
	known := func(entries int, text func(k int) T) func(k int) T {
		of := make([]*T, entries)
		return func(k int) T {
			if k >= entries {
				return text(k)
			}
			if of[k] == nil {
				value := text(k)
				of[k] = &value
			}
			return *of[k]
		}
	}
	switch a := column.(type) {
	case *array.Dictionary:
		entries := a.Dictionary().(*array.String)
		// Few rows hardly share an entry of many.
		of := known(min(entries.Len(), a.Len()), func(k int) T { return text(valid(entries.Value(k))) })
		rows(func(i int) { out[i] = of(a.GetValueIndex(i)) })
	case *array.Int64:
		rows(func(i int) { out[i] = integer(a.Value(i)) })
	case *array.Timestamp:
		rows(func(i int) { out[i] = integer(int64(a.Value(i))) })
	case *array.Boolean:
		of := known(2, func(k int) T { return text([]string{"false", "true"}[k]) })
		values := table.Indicators(a)
		rows(func(i int) { out[i] = of(int(values[i])) })
	default:
		return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + name,
			Err: fmt.Errorf("rows cannot be split by %s", arrowtype.Name(a.DataType()))}
	}
	return out, nil
}

// valid returns a text as events can have it, and JSON.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
