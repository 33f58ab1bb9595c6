package clean

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// column returns the position of a batch's column.
func column(batch arrow.Record, name string) (int, error) {
	for _, i := range batch.Schema().FieldIndices(name) {
		return i, nil
	}
	return 0, invalid(name, "is not there")
}

func invalid(column, what string) error {
	return &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + column, Err: fmt.Errorf("%s", what)}
}

// setColumn returns the batch with column f replaced, or added before
// table.RowColumn where there is none of that name. It takes over the
// caller's reference to a.
func setColumn(batch arrow.Record, f arrow.Field, a arrow.Array) arrow.Record {
	defer a.Release()
	fields, columns := slices.Clone(batch.Schema().Fields()), slices.Clone(batch.Columns())
	if at, err := column(batch, f.Name); err == nil {
		fields[at], columns[at] = f, a
	} else {
		last := len(fields) - 1
		fields, columns = slices.Insert(fields, last, f), slices.Insert(columns, last, a)
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

// eachColumn returns what treat makes of a batch, column after column; the batch
// stays the caller's.
func eachColumn(batch arrow.Record, names []string, treat func(batch arrow.Record, i int) (arrow.Record, error)) (arrow.Record, error) {
	batch.Retain()
	for _, name := range names {
		i, err := column(batch, name)
		next := arrow.Record(nil)
		if err == nil {
			next, err = treat(batch, i)
		}
		batch.Release()
		if err != nil {
			return nil, err
		}
		batch = next
	}
	return batch, nil
}

// drop counts the rows of batch that keep does not mark under one reason and
// returns those that it does.
func drop(mem memory.Allocator, batch arrow.Record, keep table.Mask, rep *pipeline.Report, stage, reason string) (arrow.Record, error) {
	if keep.Count() < keep.Rows {
		rep.DropRows(table.RowNumbers(nil, batch, keep.Not()), stage, stage+": "+reason)
	}
	return table.Select(mem, batch, keep)
}
