package engine

import (
	"bytes"
	"encoding/json"
	"io"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// RowBatch is some rows of an object in the canonical form.
type RowBatch struct {
	Schema table.Schema // without table.RowColumn
	Rows   arrow.Record // the columns of Schema, and last their ordinals in the object
}

// Records yields the records of a Parquet file whose bytes are given, with the
// named columns or all; a record is valid until the next. name is for errors.
func Records(name string, file []byte, columns []string, pool *dataset.Pool) iter.Seq2[arrow.Record, error] {
	return records(func() (*dataset.Reader, error) {
		return dataset.OpenBytes(name, file, columns, dataset.ReaderConfig{Pool: pool})
	})
}

func records(open func() (*dataset.Reader, error)) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		r, err := open()
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close() // it is only read
		for more := true; more; {
			rec, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more = yield(rec, nil)
			rec.Release()
		}
	}
}

// ReadRows yields the scored rows of an object whose bytes are given, batch by
// batch; a batch is valid until the next. name is for errors.
func ReadRows(name string, body []byte) iter.Seq2[RowBatch, error] {
	return canonical(Records(name, body, nil, nil))
}

// ReadColumns is ReadRows of some columns. One that the object has not is not in the schema.
func ReadColumns(name string, body []byte, columns []string) iter.Seq2[RowBatch, error] {
	return canonical(records(func() (*dataset.Reader, error) {
		return dataset.OpenSome(name, body, columns, dataset.ReaderConfig{})
	}))
}

// canonical yields records of one object in the canonical form.
func canonical(of iter.Seq2[arrow.Record, error]) iter.Seq2[RowBatch, error] {
	return func(yield func(RowBatch, error) bool) {
		var schema table.Schema
		var binder *table.Binder
		next := int64(0)
		for natural, err := range of {
			if err == nil && binder == nil {
				schema = table.FromArrow(natural.Schema())
				binder, err = table.NewBinder(schema, natural.Schema())
			}
			var rows arrow.Record
			if err == nil {
				rows, err = binder.Bind(natural, next)
			}
			if err != nil {
				yield(RowBatch{}, err)
				return
			}
			next += rows.NumRows()
			more := yield(RowBatch{schema, rows}, nil)
			rows.Release()
			if !more {
				return
			}
		}
	}
}

// DeadLetters yields the dead letters of an object, up to the first that cannot be
// read: Corrupt.
func DeadLetters(lines []byte) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for line := range bytes.Lines(lines) {
			var d DeadLetter
			err := json.Unmarshal(line, &d)
			if err != nil {
				err = &thalweg.Error{Op: "read dead letter", Kind: thalweg.Corrupt, Err: err}
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// ParseLetters returns the dead letters of an object.
func ParseLetters(lines []byte) (letters []DeadLetter, err error) {
	for d, err := range DeadLetters(lines) {
		if err != nil {
			return nil, err
		}
		letters = append(letters, d)
	}
	return letters, nil
}
