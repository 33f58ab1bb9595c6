package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// RowReader reads an object of scored rows in the canonical form, batch by
// batch. It is used by one goroutine.
type RowReader struct {
	Schema table.Schema // of the rows, without table.RowColumn
	reader *dataset.Reader
	binder *table.Binder
	next   int64
}

// OpenRows opens an object whose bytes are given; name is for errors.
func OpenRows(name string, body []byte) (*RowReader, error) {
	r, err := dataset.OpenBytes(name, body, nil, dataset.ReaderConfig{})
	if err != nil {
		return nil, err
	}
	out := &RowReader{reader: r}
	if out.Schema, err = table.FromArrow(r.Schema()); err == nil {
		out.binder, err = table.NewBinder(out.Schema, r.Schema())
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return out, nil
}

// Next returns the next rows, their ordinal in the object in the last column,
// table.RowColumn, and io.EOF at the end. The caller releases them.
func (r *RowReader) Next() (arrow.Record, error) {
	natural, err := r.reader.Next()
	if err != nil {
		return nil, err
	}
	defer natural.Release()
	rows, err := r.binder.Bind(natural, r.next)
	if err == nil {
		r.next += rows.NumRows()
	}
	return rows, err
}

// Close frees what the reader holds.
func (r *RowReader) Close() error { return r.reader.Close() }

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
