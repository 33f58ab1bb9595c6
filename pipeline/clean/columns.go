package clean

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// column returns the position of a batch's column.
func column(batch arrow.Record, name string) (int, error) {
	for i, f := range batch.Schema().Fields() {
		if f.Name == name {
			return i, nil
		}
	}
	return 0, missing(name)
}

func missing(column string) error { return invalid(column, "is not there") }

func invalid(column, what string) error {
	return &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + column, Err: fmt.Errorf("%s", what)}
}

// setColumn returns the batch with column f replaced, or added before
// table.RowColumn where there is none of that name. It takes over the
// caller's reference to a.
func setColumn(batch arrow.Record, f arrow.Field, a arrow.Array) arrow.Record {
	defer a.Release()
	fields, columns := batch.Schema().Fields(), batch.Columns()
	at, err := column(batch, f.Name)
	if err != nil {
		at = len(fields) - 1
		fields = append(append(make([]arrow.Field, 0, len(fields)+1), fields[:at]...), append([]arrow.Field{f}, fields[at:]...)...)
		columns = append(append(make([]arrow.Array, 0, len(columns)+1), columns[:at]...), append([]arrow.Array{a}, columns[at:]...)...)
	} else {
		fields = append(make([]arrow.Field, 0, len(fields)), fields...)
		columns = append(make([]arrow.Array, 0, len(columns)), columns...)
		fields[at], columns[at] = f, a
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

// drop counts the rows of batch that keep does not mark under one reason and
// returns those that it does.
func drop(mem memory.Allocator, batch arrow.Record, keep table.Mask, rep *pipeline.Report, stage, reason string) (arrow.Record, error) {
	if keep.Count() < keep.Rows {
		rep.DropRows(table.RowNumbers(nil, batch, keep.Not()), stage, stage+": "+reason)
	}
	return table.Select(mem, batch, keep)
}
