package split

import (
	"errors"
	"fmt"

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
	of := table.Resolver(column, text, integer)
	if a, ok := column.(*array.Timestamp); ok {
		of = func(row int) T { return integer(int64(a.Value(row))) }
	}
	if of == nil {
		return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + name,
			Err: fmt.Errorf("rows cannot be split by %s", arrowtype.Name(column.DataType()))}
	}
	out := make([]T, column.Len())
	for i := range out {
		if column.IsValid(i) {
			out[i] = of(i)
		}
	}
	return out, nil
}
