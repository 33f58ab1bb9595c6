package serve

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// maxRecordRows bounds the rows of a stream of records, of which those of nulls take no bytes.
const maxRecordRows = 1 << 20

// maxRecordBytes bounds what a stream of records takes besides its bytes: indices of a byte
// become such of four.
const maxRecordBytes = 4 * api.MaxPredictionBytes

// maxUnpackedBytes bounds what all streams of records take so at once: a few bytes that are
// compressed become very many.
const maxUnpackedBytes = 512 << 20

// reserve takes bytes of that until the request is answered; false if they are not there.
func (x *exchange) reserve(bytes int64) bool {
	if !x.unpacked.TryAcquire(bytes) {
		return false
	}
	x.reserved += bytes
	return true
}

// scoreRecords answers a stream of record batches with one that has as many rows, in their
// order: the columns that scoring adds and, behind them, the error of those that were
// rejected.
func (x *exchange) scoreRecords() error {
	var batches []arrow.Record
	if err := x.arriving(func(body []byte) error {
		bounds := dataset.ArrowBounds{Columns: maxTensors, Bytes: maxRecordBytes, Rows: maxRecordRows, Reserve: x.reserve}
		return dataset.ReadArrow(body, bounds, func(column string) bool { return x.version.named[column] }, func(rec arrow.Record) error {
			batches = append(batches, rec)
			return nil
		})
	}); err != nil {
		return err
	}
	out := new(bytes.Buffer)
	w := newAnswerWriter(out, x.version.answers)
	for _, rec := range batches {
		if rec.NumRows() == 0 {
			continue
		}
		answer, err := x.score(rows{record: rec})
		if err == nil {
			err = w.write(answer)
		}
		if err != nil {
			return err
		}
	}
	if err := w.close(); err != nil {
		return err
	}
	write(x, arrowType, http.StatusOK, out.Bytes())
	return nil
}

// answerWriter writes answers as a stream of record batches.
type answerWriter struct {
	to     *ipc.Writer
	schema *arrow.Schema
}

// newAnswerWriter returns a writer of the answers of a version.
func newAnswerWriter(to *bytes.Buffer, of *answerColumns) *answerWriter {
	schema := of.sent
	return &answerWriter{to: ipc.NewWriter(to, ipc.WithSchema(schema)), schema: schema}
}

// sentSchema is that of answers as they are sent: texts without a dictionary, which not every
// reader of streams takes, and the error.
func sentSchema(columns []table.Column) *arrow.Schema {
	var fields []arrow.Field
	for _, c := range columns {
		t := c.Type.ArrowType()
		if c.Type == table.String {
			t = arrow.BinaryTypes.String
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: t, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: errorOutput, Nullable: true, Type: arrow.StructOf(
		arrow.Field{Name: "stage", Type: arrow.BinaryTypes.String, Nullable: true}, arrow.Field{Name: "reason", Type: arrow.BinaryTypes.String, Nullable: true})})
	return arrow.NewSchema(fields, nil)
}

// write writes the rows of an answer as a batch.
func (w *answerWriter) write(a *Answer) error {
	columns := make([]arrow.Array, 0, w.schema.NumFields())
	for i, f := range w.schema.Fields() {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		b.Reserve(a.Len())
		if f.Name == errorOutput && i == w.schema.NumFields()-1 {
			a.appendErrors(b.(*array.StructBuilder))
		} else if err := a.appendTo(b, i); err != nil {
			return err
		}
		columns = append(columns, b.NewArray())
	}
	if err := w.to.Write(array.NewRecord(w.schema, columns, int64(a.Len()))); err != nil {
		return &thalweg.Error{Op: "write answer", Err: err}
	}
	return nil
}

// close ends the stream.
func (w *answerWriter) close() error {
	if err := w.to.Close(); err != nil {
		return &thalweg.Error{Op: "write answer", Err: err}
	}
	return nil
}

// appendErrors appends why each row was not scored, null if it was.
func (a *Answer) appendErrors(to *array.StructBuilder) {
	stage, reason := to.FieldBuilder(0).(*array.StringBuilder), to.FieldBuilder(1).(*array.StringBuilder)
	for i := range a.Len() {
		r := a.Reject(i)
		if r == nil {
			to.AppendNull()
			continue
		}
		to.Append(true)
		stage.Append(r.Stage)
		reason.Append(r.Reason)
	}
}

// appendTo appends a column of all rows, null where one was rejected.
func (a *Answer) appendTo(to array.Builder, column int) error {
	for i := range a.Len() {
		if c, row := a.column(column, i); c == nil || c.IsNull(row) {
			to.AppendNull()
		} else if !appendValue(to, c, row) {
			return &thalweg.Error{Op: "write answer", Err: fmt.Errorf("a value of type %s has no form as %s", c.DataType(), to.Type())}
		}
	}
	return nil
}

// appendValue appends a value that is not null.
func appendValue(to array.Builder, c arrow.Array, row int) bool {
	switch c := c.(type) {
	case *array.Float64:
		to.(*array.Float64Builder).Append(c.Value(row))
	case *array.Int64:
		to.(*array.Int64Builder).Append(c.Value(row))
	case *array.Boolean:
		to.(*array.BooleanBuilder).Append(c.Value(row))
	case *array.Timestamp:
		to.(*array.TimestampBuilder).Append(c.Value(row))
	case *array.Dictionary:
		to.(*array.StringBuilder).Append(c.Dictionary().(*array.String).Value(c.GetValueIndex(row)))
	case *array.List:
		list := to.(*array.ListBuilder)
		list.Append(true)
		from, end := c.ValueOffsets(row)
		for e := int(from); e < int(end); e++ {
			if c.ListValues().IsNull(e) {
				list.ValueBuilder().AppendNull()
			} else if !appendValue(list.ValueBuilder(), c.ListValues(), e) {
				return false
			}
		}
	default:
		return false
	}
	return true
}
