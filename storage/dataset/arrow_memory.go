package dataset

import (
	"bytes"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/thalweg/thalweg"
)

// maxForeign is how many columns that are not to keep ReadArrow tells of.
const maxForeign = 32

// ArrowBounds are those of a stream that ReadArrow reads.
type ArrowBounds struct {
	// Columns of the schema.
	Columns int
	// Bytes that all batches and dictionaries take besides those of the stream: decompressed,
	// with texts that are views as copies, and with the elements of lists as they are decoded.
	Bytes int64
	// Rows of all batches, of which those of nulls take no bytes.
	Rows int64
	// Reserve reports whether there is room for so many of the Bytes more, before they are
	// allocated; nil: there is.
	Reserve func(bytes int64) bool
}

// ReadArrow yields the record batches of an Arrow IPC stream that is in memory. What the columns
// to keep say of themselves fits together: none of their values can fail to be read, though
// texts may be no UTF-8. Of the others the first 32 are there and null, and the rest is not.
// Its errors are Invalid, Exhausted, Throttled where nothing can be reserved, or those of yield.
func ReadArrow(stream []byte, bounds ArrowBounds, keep func(column string) bool, yield func(arrow.Record) error) error {
	failed := func(kind thalweg.Kind, batch int, hint, format string, args ...any) error {
		return &thalweg.Error{Op: "read arrow stream", Kind: kind, Subject: fmt.Sprintf("record batch %d", batch), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	invalid := func(err error) error {
		if err == nil || thalweg.KindOf(err) != thalweg.Other {
			return err
		}
		return &thalweg.Error{Op: "read arrow stream", Kind: thalweg.Invalid, Err: err}
	}
	given := &bounded{left: bounds.Bytes, reserve: bounds.Reserve}
	messages := &arrowMessages{r: bytes.NewReader(stream), left: int64(len(stream)), memory: given, once: true}
	var r *ipc.Reader
	var columns []keptColumn
	if err := guard(func() (err error) {
		if r, err = ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(given)); err != nil {
			return err
		}
		if n := r.Schema().NumFields(); n > bounds.Columns {
			return fmt.Errorf("it has %d columns, at most %d", n, bounds.Columns)
		}
		columns = keptColumns(r.Schema(), keep)
		return nil
	}); err != nil {
		return invalid(err)
	}
	for n := 0; ; n++ {
		var rows arrow.Record
		many := false
		err := guard(func() error {
			rec, err := r.Read()
			if err != nil {
				return err
			}
			if bounds.Rows -= rec.NumRows(); bounds.Rows < 0 {
				many = true
				return nil
			}
			rows, err = soundRecord(rec, columns, sounder{memory: given, lists: true})
			return err
		})
		switch {
		case many:
			return failed(thalweg.Exhausted, n, "ask in several requests", "with it there are too many rows")
		case given.refused:
			return failed(thalweg.Throttled, n, "try again in a second", "no room to decompress it")
		case given.exceeded:
			return failed(thalweg.Exhausted, n, "send fewer rows at once", "with it the stream takes more than %d bytes once it is decompressed", bounds.Bytes)
		case err == io.EOF:
			return nil
		case err != nil:
			return invalid(fmt.Errorf("record batch %d: %w", n, err))
		}
		if err := yield(rows); err != nil {
			return err
		}
	}
}

// keptColumn is a column that ReadArrow yields: the one at a place, or nulls.
type keptColumn struct {
	at    int
	nulls bool
}

func keptColumns(of *arrow.Schema, keep func(column string) bool) (columns []keptColumn) {
	foreign := 0
	for i, f := range of.Fields() {
		wanted := keep(f.Name)
		if !wanted {
			foreign++
		}
		if wanted || foreign <= maxForeign {
			columns = append(columns, keptColumn{at: i, nulls: !wanted})
		}
	}
	return columns
}

func soundRecord(rec arrow.Record, columns []keptColumn, s sounder) (arrow.Record, error) {
	arrays, fields := make([]arrow.Array, len(columns)), make([]arrow.Field, len(columns))
	for i, c := range columns {
		name := rec.ColumnName(c.at)
		if c.nulls {
			arrays[i] = array.NewNull(int(rec.NumRows()))
		} else {
			var err error
			if arrays[i], err = s.sound(rec.Column(c.at), int(rec.NumRows())); err != nil {
				return nil, fmt.Errorf("column %.64q: %w", name, err)
			}
		}
		fields[i] = arrow.Field{Name: name, Type: arrays[i].DataType(), Nullable: true}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, rec.NumRows()), nil
}
