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

// ReadRows yields the scored rows of an object whose bytes are given, batch by
// batch; a batch is valid until the next. name is for errors.
func ReadRows(name string, body []byte) iter.Seq2[RowBatch, error] {
	return func(yield func(RowBatch, error) bool) {
		if err := readRows(name, body, func(b RowBatch) bool { return yield(b, nil) }); err != nil {
			yield(RowBatch{}, err)
		}
	}
}

func readRows(name string, body []byte, yield func(RowBatch) bool) error {
	r, err := dataset.OpenBytes(name, body, nil, dataset.ReaderConfig{})
	if err != nil {
		return err
	}
	defer r.Close() // it is only read
	schema, err := table.FromArrow(r.Schema())
	if err != nil {
		return err
	}
	binder, err := table.NewBinder(schema, r.Schema())
	if err != nil {
		return err
	}
	next := int64(0)
	for more := true; more; {
		natural, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		rows, err := binder.Bind(natural, next)
		natural.Release()
		if err != nil {
			return err
		}
		next += rows.NumRows()
		more = yield(RowBatch{schema, rows})
		rows.Release()
	}
	return nil
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
