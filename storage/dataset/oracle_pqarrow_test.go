package dataset_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
)

// flatTypes are the types that pqarrow writes as flat columns.
var flatTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean,
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	arrow.BinaryTypes.String,
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
	&arrow.TimestampType{Unit: arrow.Millisecond}, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"},
	&arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	&arrow.TimestampType{Unit: arrow.Nanosecond}, &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	&arrow.Decimal128Type{Precision: 5, Scale: 2}, &arrow.Decimal128Type{Precision: 15, Scale: 0}, &arrow.Decimal128Type{Precision: 38, Scale: 10},
}

// listTypes are those of lists that are read, and nestedTypes of what is not.
var (
	listTypes = []arrow.DataType{
		arrow.ListOf(arrow.PrimitiveTypes.Int64), arrow.ListOfNonNullable(arrow.PrimitiveTypes.Int64),
		arrow.ListOf(arrow.PrimitiveTypes.Int8), arrow.ListOf(arrow.PrimitiveTypes.Uint16), arrow.ListOfNonNullable(arrow.PrimitiveTypes.Uint32),
		arrow.ListOf(arrow.PrimitiveTypes.Float32), arrow.ListOfNonNullable(arrow.PrimitiveTypes.Float32),
		arrow.ListOf(arrow.PrimitiveTypes.Float64), arrow.ListOfNonNullable(arrow.PrimitiveTypes.Float64),
		arrow.ListOf(arrow.FixedWidthTypes.Boolean), arrow.ListOfNonNullable(arrow.FixedWidthTypes.Boolean),
		arrow.ListOf(&arrow.Decimal128Type{Precision: 15, Scale: 0}),
		arrow.ListOf(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}),
	}
	nestedTypes = []arrow.DataType{
		arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int64)),
		arrow.ListOfNonNullable(arrow.BinaryTypes.String),
		arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float64)),
		arrow.ListOf(arrow.ListOf(arrow.ListOfNonNullable(arrow.BinaryTypes.String))),
	}
)

func schemaOf(types []arrow.DataType, nullable bool) *arrow.Schema {
	fields := make([]arrow.Field, len(types))
	for i, t := range types {
		fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: t, Nullable: nullable}
	}
	return arrow.NewSchema(fields, nil)
}

// byPqarrow returns the records as pqarrow writes them, each a row group.
func byPqarrow(t testing.TB, records []arrow.Record, opts ...parquet.WriterProperty) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(records[0].Schema(), &buf, parquet.NewWriterProperties(opts...), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestFlatColumnsAsPqarrowReadsThem(t *testing.T) {
	t.Parallel()
	codecs := []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd}
	for seed := range uint64(10 * *more) {
		rng := rand.New(rand.NewPCG(seed, 7))
		nulls := []float64{0, 0.02, 0.5, 1}[rng.IntN(4)]
		nullable := nulls > 0 || rng.IntN(2) == 0
		codec := codecs[seed%uint64(len(codecs))]
		version := []parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2}[rng.IntN(2)]
		opts := []parquet.WriterProperty{
			parquet.WithCompression(codec),
			parquet.WithDataPageVersion(version),
			parquet.WithDataPageSize([]int64{64, 1000, 1 << 20}[rng.IntN(3)]),
			parquet.WithDictionaryDefault(rng.IntN(3) > 0),
			parquet.WithDictionaryPageSizeLimit([]int64{100, 2000, 1 << 20}[rng.IntN(3)]), // then plain
			parquet.WithBatchSize([]int64{10, 1024}[rng.IntN(2)]),
		}
		schema := schemaOf(flatTypes, nullable)
		var records []arrow.Record
		for range 1 + rng.IntN(3) {
			records = append(records, randomRecord(rng, schema, 1+rng.IntN(120), nulls))
		}
		t.Run(fmt.Sprintf("seed=%d/%v/nulls=%v", seed, codec, nulls), func(t *testing.T) {
			data := byPqarrow(t, records, opts...)
			got := readAll(t, data, nil, []int{1, 100, 1 << 16}[rng.IntN(3)])
			sameValues(t, got, pqarrowAll(t, data))
		})
	}
}

// listFile returns a file of random lists, as pqarrow writes them.
func listFile(t testing.TB, rng *rand.Rand) []byte {
	nulls := []float64{0, 0.2, 0.8}[rng.IntN(3)]
	schema := schemaOf(append(listTypes, arrow.PrimitiveTypes.Int64), nulls > 0 || rng.IntN(2) == 0)
	var records []arrow.Record
	for range 1 + rng.IntN(3) {
		records = append(records, randomRecord(rng, schema, 1+rng.IntN(300), nulls))
	}
	return byPqarrow(t, records, parquet.WithDataPageSize([]int64{50, 1 << 20}[rng.IntN(2)]), parquet.WithBatchSize([]int64{16, 1024}[rng.IntN(2)]),
		parquet.WithDictionaryDefault(rng.IntN(2) == 0), parquet.WithDictionaryPageSizeLimit([]int64{100, 1 << 20}[rng.IntN(2)]),
		parquet.WithDataPageVersion([]parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2}[rng.IntN(2)]))
}

func TestListColumnsAsPqarrowReadsThem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30 * *more) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			data := listFile(t, rng)
			got := readAll(t, data, nil, []int{1, 7, 1000}[rng.IntN(3)])
			sameValues(t, got, pqarrowAll(t, data))
		})
	}
}

// TestLongListsMakeShortBatches: a batch of 64 Ki rows of embeddings would take
// hundreds of megabytes.
func TestLongListsMakeShortBatches(t *testing.T) {
	t.Parallel()
	const rows, length = 1000, 10_000
	b := array.NewListBuilder(arrowmemory.DefaultAllocator, arrow.PrimitiveTypes.Float32)
	defer b.Release()
	for range rows {
		b.Append(true)
		b.ValueBuilder().(*array.Float32Builder).AppendValues(make([]float32, length), nil)
	}
	schema := schemaOf([]arrow.DataType{arrow.ListOf(arrow.PrimitiveTypes.Float32)}, true)
	data := byPqarrow(t, []arrow.Record{array.NewRecord(schema, []arrow.Array{b.NewArray()}, rows)})
	r, err := dataset.OpenBytes("long.parquet", data, nil, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var seen int64
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := rec.Column(0).(*array.List).ListValues().Len(); n > 1<<20 {
			t.Fatalf("a batch of %d elements", n)
		}
		seen += rec.NumRows()
		rec.Release()
	}
	if seen != rows {
		t.Errorf("%d of %d rows", seen, rows)
	}
}

func TestDeepListsAreDescribedAndNotRead(t *testing.T) {
	schema := schemaOf(append(nestedTypes, arrow.PrimitiveTypes.Int64), true)
	data := byPqarrow(t, []arrow.Record{randomRecord(rand.New(rand.NewPCG(1, 9)), schema, 100, 0.2)})
	bucket := memory.New()
	if _, err := bucket.Put(t.Context(), "lists.parquet", data); err != nil {
		t.Fatal(err)
	}
	summary, err := dataset.Inspect(t.Context(), bucket, "lists.parquet", int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"list<element: int64, nullable>", "dictionary<values=utf8, indices=int32, ordered=false>", "list<element: float64, nullable>"} {
		if got := summary.Schema.Field(i).Type.String(); !strings.HasPrefix(got, "list<element: "+want) {
			t.Errorf("column %d is %s, want a list of %s", i, got, want)
		}
	}
	for _, f := range schema.Fields() {
		r, err := dataset.OpenBytes("lists.parquet", data, []string{f.Name}, dataset.ReaderConfig{})
		if err == nil {
			r.Close()
		}
		if f.Type.ID() == arrow.LIST && (!thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), strconv.Quote(f.Name))) {
			t.Errorf("asking for a %v: %v, want unsupported by name", f.Type, err)
		}
	}
	got := readAll(t, data, []string{schema.Field(len(nestedTypes)).Name}, 7)
	name := schema.Field(len(nestedTypes)).Name
	sameValues(t, got, table{name: pqarrowAll(t, data)[name]})
}
