package dataset

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/storage/parquet/encode"
)

const (
	// checkRows is how often, in rows of a row group, the size of its strings is
	// looked at; at fixed rows, so that the cut does not depend on batches.
	checkRows = 64 << 10
	// checkListRows is the same where there are lists, which may be long.
	checkListRows = 1 << 10
	// maxGroupText is the bytes of distinct strings, or of lists, of a column beyond
	// which a row group is ended early.
	maxGroupText = 128 << 20
)

// Writer writes record batches as one Parquet file. The bytes depend on the
// schema, the rows and the configuration, not on how the rows were cut into
// batches, the dictionaries that these had, the time or the machine. (A new
// version of a compressor may change them.)
type Writer struct {
	cfg     WriterConfig
	schema  *arrow.Schema
	columns []*encode.Column
	file    *encode.File
	// checkRows is the constant of that name, or checkListRows.
	checkRows int
	err       error // what every call returns from now on
	closed    bool
}

// NewWriter returns a Writer of schema's columns: the canonical types
// (dictionary<int32, utf8>, int64, float64, bool, timestamp[us, UTC]), utf8,
// int32, float32, timestamps of other units or without a zone, and lists of these.
// Strings are read back as strings, whether they came as a dictionary or not.
// Invalid names the column that it cannot write.
func NewWriter(w io.Writer, schema *arrow.Schema, cfg WriterConfig) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if schema.NumFields() == 0 {
		return nil, writeFailure("", thalweg.Invalid, errors.New("a table without columns"))
	}
	out := &Writer{cfg: cfg, schema: schema, checkRows: checkRows}
	seen := make(map[string]bool)
	for _, f := range schema.Fields() {
		c, err := encode.NewColumn(f, &cfg.Pool.spares)
		if err == nil && seen[f.Name] {
			err = errors.New("there are two columns of this name")
		}
		if err != nil {
			return nil, writeFailure(f.Name, thalweg.Invalid, err)
		}
		seen[f.Name] = true
		out.columns = append(out.columns, c)
		if f.Type.ID() == arrow.LIST {
			out.checkRows = checkListRows
		}
	}
	z, err := cfg.Pool.zstd()
	if err == nil {
		out.file, err = encode.NewFile(w, codecs[cfg.Compression], z, out.columns)
	}
	if err != nil {
		return nil, writeFailure("", thalweg.Other, err)
	}
	return out, nil
}

// Write appends the rows of rec, whose columns must be the Writer's. It does not
// release or keep rec.
func (w *Writer) Write(rec arrow.Record) error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return writeFailure("", thalweg.Invalid, errors.New("the writer is closed"))
	}
	if err := w.check(rec); err != nil {
		return err
	}
	total := int(rec.NumRows())
	for from := 0; from < total; {
		// Up to the next row at which a row group may end.
		gathered := w.file.Gathered()
		next := min(w.cfg.RowGroupRows, (gathered/w.checkRows+1)*w.checkRows)
		to := min(total, from+next-gathered)
		for i, c := range w.columns {
			if err := c.Append(rec.Column(i), from, to); err != nil {
				return w.fail(c.Field().Name, thalweg.Invalid, err)
			}
		}
		from = to
		if gathered = w.file.Gathered(); gathered == w.cfg.RowGroupRows || (gathered%w.checkRows == 0 && w.full()) {
			if err := w.file.Flush(); err != nil {
				return w.fail("", thalweg.Other, err)
			}
		}
	}
	return nil
}

// check fails unless rec has the Writer's columns.
func (w *Writer) check(rec arrow.Record) error {
	have := rec.Schema()
	if have == w.schema {
		return nil
	}
	if have.NumFields() != len(w.columns) {
		return writeFailure("", thalweg.Invalid, fmt.Errorf("a batch of %d columns, the file has %d", have.NumFields(), len(w.columns)))
	}
	for i, c := range w.columns {
		f := have.Field(i)
		if f.Name != c.Field().Name || !arrow.TypeEqual(f.Type, c.Field().Type) {
			return writeFailure(c.Field().Name, thalweg.Invalid, fmt.Errorf("the batch has %s of type %s, the file %s", f.Name, arrowtype.Name(f.Type), arrowtype.Name(c.Field().Type)))
		}
	}
	return nil
}

// full reports whether a column has gathered too many strings to go on.
func (w *Writer) full() bool {
	for _, c := range w.columns {
		if c.Size() > maxGroupText {
			return true
		}
	}
	return false
}

// Close writes what is left and the footer; it does not close the io.Writer.
// A file without its Close is not Parquet. A second Close does nothing.
func (w *Writer) Close() error {
	if w.err != nil || w.closed {
		return w.err
	}
	w.closed = true
	if err := w.file.Close(); err != nil {
		return w.fail("", thalweg.Other, err)
	}
	return nil
}

// fail has every later call return the same error.
func (w *Writer) fail(column string, kind thalweg.Kind, err error) error {
	w.err = writeFailure(column, kind, err)
	return w.err
}

// writeFailure is an error of writing, of a column unless its name is empty.
// The kind of a cause that has one wins.
func writeFailure(column string, kind thalweg.Kind, err error) error {
	e := &thalweg.Error{Op: "write parquet", Kind: kind, Err: err}
	if cause := thalweg.KindOf(err); cause != thalweg.Other {
		e.Kind = cause
	}
	if column != "" {
		e.Subject = fmt.Sprintf("column %q", column)
	}
	return e
}
