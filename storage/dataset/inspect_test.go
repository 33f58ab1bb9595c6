package dataset_test

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

func TestInspectTellsWhatTheRowsAre(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: "none", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range int64(10) {
		b.Field(0).(*array.Int64Builder).Append(i - 5)
		if i == 3 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(string(rune('a' + i)))
		}
		b.Field(2).(*array.Float64Builder).Append(float64(i))
		b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(i * 1000))
		b.Field(4).AppendNull()
	}
	rec := b.NewRecord()
	defer rec.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{RowGroupRows: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bucket := bucketmem.New()
	if _, err := bucket.Put(t.Context(), "x.parquet", out.Bytes()); err != nil {
		t.Fatal(err)
	}
	s, err := dataset.Inspect(t.Context(), bucket, "x.parquet", int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	want := []dataset.ColumnSummary{{0, int64(-5), int64(4)}, {1, "a", "j"}, {0, nil, nil}, {0, int64(0), int64(9000)}, {10, nil, nil}}
	if s.Rows != 10 || s.Schema.NumFields() != 5 || s.Schema.Field(3).Name != "at" {
		t.Errorf("%d rows of %v", s.Rows, s.Schema)
	}
	for i, c := range s.Columns {
		if c != want[i] {
			t.Errorf("column %s: %+v, want %+v", schema.Field(i).Name, c, want[i])
		}
	}
	if _, err := dataset.Inspect(t.Context(), bucket, "x.parquet", 7); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("cut off: %v", err)
	}
	if _, err := dataset.Inspect(t.Context(), bucket, "y.parquet", 70); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("absent: %v", err)
	}
}
