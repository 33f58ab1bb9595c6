package dataset_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// writable has a column of every type that a Writer takes, nullable and not.
var writable = func() *arrow.Schema {
	var fields []arrow.Field
	for i, t := range []arrow.DataType{
		stringType, arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float32,
		arrow.FixedWidthTypes.Boolean, arrow.FixedWidthTypes.Timestamp_us, &arrow.TimestampType{Unit: arrow.Nanosecond}, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"},
		arrow.ListOf(arrow.PrimitiveTypes.Int64), arrow.ListOf(arrow.PrimitiveTypes.Float64), arrow.ListOf(arrow.FixedWidthTypes.Boolean),
		arrow.ListOfNonNullable(arrow.PrimitiveTypes.Float32),
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("required ", i), Type: t}, arrow.Field{Name: fmt.Sprint("optional ", i), Type: t, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}()

func write(t testing.TB, cfg dataset.WriterConfig, schema *arrow.Schema, records ...arrow.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, cfg)
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
	return out.Bytes()
}

// cut slices a record into batches of random sizes, which gives arrays with
// offsets.
func cut(rng *rand.Rand, rec arrow.Record) []arrow.Record {
	var out []arrow.Record
	for from := int64(0); from < rec.NumRows(); {
		to := min(rec.NumRows(), from+rng.Int64N(200))
		out = append(out, rec.NewSlice(from, to))
		from = to
	}
	return out
}

func TestWriterRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12 * *more) {
		rng := rand.New(rand.NewPCG(seed, 21))
		cfg := dataset.WriterConfig{Compression: []dataset.Compression{dataset.Zstd, dataset.Snappy, dataset.Uncompressed}[seed%3], RowGroupRows: 1 + rng.IntN(400)}
		nulls := []float64{0, 0.3, 1}[rng.IntN(3)]
		t.Run(fmt.Sprintf("seed=%d/%s", seed, cfg.Compression), func(t *testing.T) {
			rec := randomRecord(rng, writable, 1+rng.IntN(1000), nulls)
			defer rec.Release()
			want := make(table)
			for i, f := range writable.Fields() {
				want.add(f.Name, rec.Column(i))
			}
			data := write(t, cfg, writable, cut(rng, rec)...)
			sameValues(t, readAll(t, data, nil, 1<<16), want)
			sameValues(t, pqarrowAll(t, data), want)
			f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
			if err != nil || f.NumRows() != rec.NumRows() {
				t.Fatalf("parquet-go: %v", err)
			}
			if groups := (len(want["required 0"]) + cfg.RowGroupRows - 1) / cfg.RowGroupRows; len(f.RowGroups()) != groups {
				t.Errorf("%d row groups instead of %d", len(f.RowGroups()), groups)
			}
		})
	}
}

func TestTypesComeBackAsTheyWere(t *testing.T) {
	rec := randomRecord(rand.New(rand.NewPCG(1, 1)), writable, 10, 0.2)
	defer rec.Release()
	r, err := dataset.OpenBytes("x", write(t, dataset.WriterConfig{}, writable, rec), nil, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, f := range r.Schema().Fields() {
		want := writable.Field(i)
		if want.Type.ID() == arrow.STRING {
			want.Type = stringType
		}
		if f.Name != want.Name || f.Nullable != want.Nullable || !arrow.TypeEqual(f.Type, want.Type) { // Arrow calls elements item
			t.Errorf("%v came back as %v", want, f)
		}
	}
}

func TestBytesDependOnRowsAndConfigurationOnly(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	rec := randomRecord(rng, writable, 3000, 0.2)
	defer rec.Release()
	for _, c := range []dataset.Compression{dataset.Zstd, dataset.Snappy, dataset.Uncompressed} {
		cfg := dataset.WriterConfig{Compression: c, RowGroupRows: 1000}
		want := write(t, cfg, writable, rec)
		for range 5 {
			if !bytes.Equal(want, write(t, cfg, writable, cut(rng, rec)...)) {
				t.Fatalf("%s: other batches, other bytes", c)
			}
		}
		if !bytes.Equal(want, write(t, cfg, writable, redictionaried(t, rng, rec))) {
			t.Fatalf("%s: other dictionaries, other bytes", c)
		}
		cfg.Pool = dataset.NewPool(0)
		for range 2 {
			if !bytes.Equal(want, write(t, cfg, writable, rec)) {
				t.Fatalf("%s: a used compressor, other bytes", c)
			}
		}
	}
}

// redictionaried returns rec with dictionaries in another order, with entries
// that no row uses.
func redictionaried(t *testing.T, rng *rand.Rand, rec arrow.Record) arrow.Record {
	t.Helper()
	cols := make([]arrow.Array, rec.NumCols())
	for i, a := range rec.Columns() {
		cols[i] = a
		d, ok := a.(*array.Dictionary)
		if !ok {
			continue
		}
		old := d.Dictionary().(*array.String)
		order := rng.Perm(old.Len())
		names, indices := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt32Builder(memory.DefaultAllocator)
		moved := make([]int32, old.Len())
		names.Append("not used")
		for to, from := range order {
			names.Append(old.Value(from))
			moved[from] = int32(to + 1)
		}
		for j := range d.Len() {
			if d.IsNull(j) {
				indices.AppendNull()
			} else {
				indices.Append(moved[d.GetValueIndex(j)])
			}
		}
		cols[i] = array.NewDictionaryArray(stringType, indices.NewArray(), names.NewArray())
	}
	return array.NewRecord(rec.Schema(), cols, rec.NumRows())
}

func TestNullSlotsDoNotShowInTheBytes(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	one := func(hidden int64) arrow.Record {
		valid := memory.NewBufferBytes([]byte{0b101})
		values := memory.NewBufferBytes(arrow.Int64Traits.CastToBytes([]int64{1, hidden, 3}))
		return array.NewRecord(schema, []arrow.Array{array.NewInt64Data(array.NewData(schema.Field(0).Type, 3, []*memory.Buffer{valid, values}, nil, 1, 0))}, 3)
	}
	if !bytes.Equal(write(t, dataset.WriterConfig{}, schema, one(2)), write(t, dataset.WriterConfig{}, schema, one(99))) {
		t.Error("what lies under a null was written")
	}
}

func TestManyDistinctStringsAreWrittenPlain(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "few", Type: stringType}}, nil)
	ids, few := array.NewStringBuilder(memory.DefaultAllocator), array.NewDictionaryBuilder(memory.DefaultAllocator, stringType).(*array.BinaryDictionaryBuilder)
	for i := range 60_000 {
		ids.Append(fmt.Sprintf("event-%020d", i))
		if err := few.AppendString([]string{"a", "b"}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	rec := array.NewRecord(schema, []arrow.Array{ids.NewArray(), few.NewArray()}, 60_000)
	data := write(t, dataset.WriterConfig{}, schema, rec)
	got := readAll(t, data, nil, 1<<16)
	want := make(table)
	want.add("id", rec.Column(0))
	want.add("few", rec.Column(1))
	sameValues(t, got, want)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	columns := f.Metadata().RowGroups[0].Columns
	if columns[0].MetaData.DictionaryPageOffset != 0 || columns[1].MetaData.DictionaryPageOffset == 0 {
		t.Errorf("dictionaries at %d and %d", columns[0].MetaData.DictionaryPageOffset, columns[1].MetaData.DictionaryPageOffset)
	}
}

func TestStatisticsBoundTheValues(t *testing.T) {
	fields := []arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "f", Type: arrow.PrimitiveTypes.Float64}, {Name: "s", Type: arrow.BinaryTypes.String},
		{Name: "b", Type: arrow.FixedWidthTypes.Boolean}, {Name: "long", Type: arrow.BinaryTypes.String}, {Name: "nan", Type: arrow.PrimitiveTypes.Float64}}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{5, -7, 0}, []bool{true, true, false})
	b.Field(1).(*array.Float64Builder).AppendValues([]float64{math.NaN(), 0, 2.5}, nil)
	b.Field(2).(*array.StringBuilder).AppendValues([]string{"b", "ä", "a"}, nil)
	b.Field(3).(*array.BooleanBuilder).AppendValues([]bool{true, true, true}, nil)
	b.Field(4).(*array.StringBuilder).AppendValues([]string{strings.Repeat("x", 1000), "a", "b"}, nil)
	b.Field(5).(*array.Float64Builder).AppendValues([]float64{math.NaN(), math.NaN(), math.NaN()}, nil)
	data := write(t, dataset.WriterConfig{}, schema, b.NewRecord())
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	little := func(v uint64) string {
		return string([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24), byte(v >> 32), byte(v >> 40), byte(v >> 48), byte(v >> 56)})
	}
	minus7 := int64(-7)
	for i, want := range [][2]string{
		{little(uint64(minus7)), little(5)},
		{little(math.Float64bits(math.Copysign(0, -1))), little(math.Float64bits(2.5))},
		{"a", "ä"}, {"\x01", "\x01"}, {"", ""}, {"", ""},
	} {
		s := f.Metadata().RowGroups[0].Columns[i].MetaData.Statistics
		if string(s.MinValue) != want[0] || string(s.MaxValue) != want[1] {
			t.Errorf("%s: %q to %q", fields[i].Name, s.MinValue, s.MaxValue)
		}
		if nulls := map[int]int64{0: 1}[i]; s.NullCount != nulls {
			t.Errorf("%s: %d nulls", fields[i].Name, s.NullCount)
		}
	}
}

func TestWriterRefusesWhatItCannotWrite(t *testing.T) {
	int64s := arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int64}
	for name, fields := range map[string][]arrow.Field{
		`column "l"`: {int64s, {Name: "l", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int64))}},
		`column "d"`: {{Name: "d", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}},
		`column "t"`: {{Name: "t", Type: arrow.FixedWidthTypes.Timestamp_s}},
		`column "x"`: {int64s, int64s},
		"columns":    {},
	} {
		if _, err := dataset.NewWriter(&bytes.Buffer{}, arrow.NewSchema(fields, nil), dataset.WriterConfig{}); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	required := arrow.NewSchema([]arrow.Field{int64s}, nil)
	int64s.Nullable = true
	optional := arrow.NewSchema([]arrow.Field{int64s}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, optional)
	b.Field(0).AppendNull()
	w, err := dataset.NewWriter(&bytes.Buffer{}, required, dataset.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(b.NewRecord()); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), `column "x"`) {
		t.Errorf("a null: %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("a file with a refused batch must not be closed as if it were whole")
	}
	if w, err = dataset.NewWriter(&bytes.Buffer{}, required, dataset.WriterConfig{}); err != nil {
		t.Fatal(err)
	}
	other := randomRecord(rand.New(rand.NewPCG(1, 1)), arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil), 3, 0)
	if err := w.Write(other); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), `column "x"`) {
		t.Errorf("another type: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Write(other); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("after Close: %v", err)
	}
}

// failing is an io.Writer that fails after so many bytes.
type failing struct{ left int }

var errDisk = errors.New("no space left")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestWriterReportsAFailingSink(t *testing.T) {
	rec := randomRecord(rand.New(rand.NewPCG(1, 1)), flightsSchema, 500, 0.1)
	size := len(write(t, dataset.WriterConfig{RowGroupRows: 100}, flightsSchema, rec))
	for _, left := range []int{0, 3, 10, size / 2, size - 1} {
		w, err := dataset.NewWriter(&failing{left}, flightsSchema, dataset.WriterConfig{RowGroupRows: 100})
		if err == nil {
			if err = w.Write(rec); err == nil {
				err = w.Close()
			}
		}
		if !errors.Is(err, errDisk) {
			t.Errorf("after %d bytes: %v", left, err)
		}
	}
}

func TestNoRowsAreAFileToo(t *testing.T) {
	data := write(t, dataset.WriterConfig{}, flightsSchema)
	got := readAll(t, data, nil, 10)
	if len(got) != 0 {
		t.Errorf("%v", got)
	}
	b := lake(t, map[string][]byte{"none.parquet": data, "some.parquet": flights(t, 1, 3, 10)})
	m, schema, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
	if err != nil || len(m.Shards) != 1 || m.Rows != 3 || !schema.Equal(flightsSchema) {
		t.Errorf("%+v, %v: %v", m, schema, err)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}
