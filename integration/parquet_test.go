//go:build integration

package integration

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// readParquet reads a Parquet object with Arrow's own reader, as anyone could,
// and passes its batches to fn. Results are judged by it and not by the code
// that wrote them.
func readParquet(t *testing.T, name string, body []byte, fn func(batch arrow.Record)) {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer reader.Close()
	arrows, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	whole, err := arrows.ReadTable(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer whole.Release()
	batches := array.NewTableReader(whole, -1)
	defer batches.Release()
	for batches.Next() {
		fn(batches.Record())
	}
}

// columnOf returns the column of a batch by name and Go type.
func columnOf[T arrow.Array](t *testing.T, batch arrow.Record, name string) T {
	t.Helper()
	at := batch.Schema().FieldIndices(name)
	if len(at) != 1 {
		t.Fatalf("%d columns %s: %v", len(at), name, batch.Schema())
	}
	column, ok := batch.Column(at[0]).(T)
	if !ok {
		t.Fatalf("column %s is of type %s", name, batch.Column(at[0]).DataType())
	}
	return column
}

func ints(t *testing.T, batch arrow.Record, name string) *array.Int64 {
	t.Helper()
	return columnOf[*array.Int64](t, batch, name)
}

func floats(t *testing.T, batch arrow.Record, name string) *array.Float64 {
	t.Helper()
	return columnOf[*array.Float64](t, batch, name)
}
