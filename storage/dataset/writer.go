package dataset

import (
	"io"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
)

// Writer writes record batches as one Parquet file. The bytes depend on the
// schema, the rows and the configuration, not on how the rows were cut into
// batches, the time or the machine.
type Writer struct {
	schema *arrow.Schema
}

// NewWriter returns a Writer of schema's columns: the canonical types
// (dictionary<int32, utf8>, int64, float64, bool, timestamp[us, UTC]) and utf8,
// int32, float32. Invalid names the column that it cannot write.
func NewWriter(w io.Writer, schema *arrow.Schema, cfg WriterConfig) (*Writer, error) {
	return nil, &thalweg.Error{Op: "write parquet", Kind: thalweg.Unsupported}
}

// Write appends the rows of rec, whose schema must be the Writer's. It does not
// release or keep rec.
func (w *Writer) Write(rec arrow.Record) error {
	return &thalweg.Error{Op: "write parquet", Kind: thalweg.Unsupported}
}

// Rows returns the rows written so far.
func (w *Writer) Rows() int64 { return 0 }

// Close writes what is left and the footer; it does not close the io.Writer.
// A file without its Close is not Parquet.
func (w *Writer) Close() error { return nil }
