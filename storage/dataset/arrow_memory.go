package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/thalweg/thalweg"
)

// ArrowBounds are those of a stream that ReadArrow reads.
type ArrowBounds struct {
	// Bytes of a batch besides those of the stream, also once it is decompressed.
	Bytes int64
	// Rows of all batches, of which those of nulls take no bytes.
	Rows int64
}

// ReadArrow yields the record batches of an Arrow IPC stream that is in memory. What the columns
// to keep say of themselves fits together: none of their values can fail to be read, though
// texts may be no UTF-8. The others are null. Its errors are Invalid, Exhausted or those of
// yield.
func ReadArrow(stream []byte, bounds ArrowBounds, keep func(column string) bool, yield func(arrow.Record) error) error {
	invalid := func(err error) error {
		if err == nil || thalweg.KindOf(err) != thalweg.Other {
			return err
		}
		return &thalweg.Error{Op: "read arrow stream", Kind: thalweg.Invalid, Err: err}
	}
	messages := &arrowMessages{r: bytes.NewReader(stream), left: int64(len(stream)), memory: new(bounded), most: bounds.Bytes}
	var r *ipc.Reader
	if err := guard(func() (err error) {
		r, err = ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(messages.memory))
		return err
	}); err != nil {
		return invalid(err)
	}
	for n := 0; ; n++ {
		var rows arrow.Record
		err := guard(func() error {
			rec, err := r.Read()
			if err != nil {
				return err
			}
			columns := make([]arrow.Array, rec.NumCols())
			fields := make([]arrow.Field, rec.NumCols())
			for i := range columns {
				if !keep(rec.ColumnName(i)) {
					columns[i] = array.NewNull(int(rec.NumRows()))
				} else if columns[i], err = sound(rec.Column(i), int(rec.NumRows()), false); err != nil {
					return fmt.Errorf("column %.64q: %w", rec.ColumnName(i), err)
				}
				fields[i] = arrow.Field{Name: rec.ColumnName(i), Type: columns[i].DataType(), Nullable: true}
			}
			rows = array.NewRecord(arrow.NewSchema(fields, nil), columns, rec.NumRows())
			return nil
		})
		switch {
		case err == io.EOF:
			return nil
		case messages.memory.exceeded:
			return &thalweg.Error{Op: "read arrow stream", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("record batch %d", n), Err: fmt.Errorf("it takes more than %d bytes once it is decompressed", bounds.Bytes), Hint: "send smaller batches"}
		case err != nil:
			return invalid(fmt.Errorf("record batch %d: %w", n, err))
		}
		if bounds.Rows -= rows.NumRows(); bounds.Rows < 0 {
			return &thalweg.Error{Op: "read arrow stream", Kind: thalweg.Exhausted, Err: errors.New("it has too many rows"), Hint: "ask in several requests"}
		}
		if err := yield(rows); err != nil {
			return err
		}
	}
}
