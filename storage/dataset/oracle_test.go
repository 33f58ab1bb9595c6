package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/thalweg/thalweg/storage/dataset"
)

// table is the values of a file's columns, rendered by text.
type table map[string][]string

func (t table) add(name string, a arrow.Array) {
	for i := range a.Len() {
		t[name] = append(t[name], text(a, i))
	}
}

// readAll returns what a Reader makes of a file. Leaks fail the test.
func readAll(t testing.TB, data []byte, columns []string, batchRows int) table {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	r, err := dataset.OpenBytes("test.parquet", data, columns, dataset.ReaderConfig{BatchRows: batchRows, Allocator: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return drain(t, r, batchRows)
}

// drain reads r to its end.
func drain(t testing.TB, r *dataset.Reader, batchRows int) table {
	t.Helper()
	out := make(table)
	var rows int64
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.NumRows() == 0 || rec.NumRows() > int64(batchRows) {
			t.Fatalf("batch of %d rows", rec.NumRows())
		}
		rows += rec.NumRows()
		for i, f := range r.Schema().Fields() {
			a := rec.Column(i)
			if !arrow.TypeEqual(a.DataType(), f.Type) {
				t.Fatalf("column %s is %v, the schema says %v", f.Name, a.DataType(), f.Type)
			}
			checkIndices(t, a)
			out.add(f.Name, a)
		}
		rec.Release()
	}
	return out
}

// checkIndices makes sure that every index, null or not, is in its dictionary.
func checkIndices(t testing.TB, a arrow.Array) {
	t.Helper()
	d, ok := a.(*array.Dictionary)
	if !ok {
		return
	}
	for i, at := range d.Indices().(*array.Int32).Int32Values() {
		if at < 0 || int(at) >= d.Dictionary().Len() {
			t.Fatalf("index %d of row %d in a dictionary of %d", at, i, d.Dictionary().Len())
		}
	}
}

// pqarrowAll is readAll by pqarrow.
func pqarrowAll(t testing.TB, data []byte) table {
	t.Helper()
	f, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	read, err := r.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer read.Release()
	out := make(table)
	for i := range int(read.NumCols()) {
		for _, a := range read.Column(i).Data().Chunks() {
			out.add(read.Column(i).Name(), a)
		}
	}
	return out
}

// text renders a value so that what two libraries make of it can be compared:
// strings and dictionaries of them alike, UUIDs as text, timestamps as times.
func text(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return text(a.Dictionary(), a.GetValueIndex(i))
	case *array.String:
		return fmt.Sprintf("%q", a.Value(i))
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return a.Value(i).ToTime(unit).Truncate(time.Microsecond).UTC().Format(time.RFC3339Nano)
	case *array.Decimal128:
		return fmt.Sprintf("%ve-%d", a.Value(i).BigInt(), a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return fmt.Sprintf("%ve-%d", a.Value(i).BigInt(), a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.List:
		from, to := a.ValueOffsets(i)
		s := "["
		for i := int(from); i < int(to); i++ {
			s += text(a.ListValues(), i) + " "
		}
		return s + "]"
	}
	return a.ValueStr(i)
}

// sameValues compares two tables value by value.
func sameValues(t testing.TB, got, want table) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d columns instead of %d", len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Fatalf("column %q has %d rows instead of %d", name, len(g), len(w))
		}
		for i := range w {
			if g[i] != w[i] {
				t.Fatalf("column %q, row %d of %d: %s instead of %s", name, i, len(w), g[i], w[i])
			}
		}
	}
}
