package dataset_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
)

var flightsSchema = arrow.NewSchema([]arrow.Field{
	{Name: "date", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	{Name: "delay", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "distance", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "origin", Type: stringType, Nullable: true},
	{Name: "destination", Type: stringType, Nullable: true},
}, nil)

var stringType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

// written returns records as our Writer writes them, in row groups of so many
// rows.
func written(t testing.TB, groupRows int, records ...arrow.Record) []byte {
	t.Helper()
	var out strings.Builder
	w, err := dataset.NewWriter(&out, records[0].Schema(), dataset.WriterConfig{RowGroupRows: groupRows})
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
	return []byte(out.String())
}

// flights returns a file of random rows of flightsSchema.
func flights(t testing.TB, seed uint64, rows, groupRows int) []byte {
	t.Helper()
	rec := randomRecord(rand.New(rand.NewPCG(seed, 3)), flightsSchema, rows, 0.1)
	defer rec.Release()
	return written(t, groupRows, rec)
}

// lake returns a bucket with the given objects.
func lake(t testing.TB, objects map[string][]byte) storage.Bucket {
	t.Helper()
	b := memory.New()
	for key, body := range objects {
		if _, err := b.Put(context.Background(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestDiscoverCutsShardsOnRowGroups(t *testing.T) {
	b := lake(t, map[string][]byte{
		"flights/b.parquet":     flights(t, 1, 450, 100), // 100 100 100 100 50
		"flights/a.parquet":     flights(t, 2, 300, 300),
		"flights/c.parquet":     flights(t, 3, 30, 100),
		"flights/notes.txt":     []byte("not data"),
		"flights/old/d.parquet": flights(t, 4, 10, 10),
	})
	m, schema, err := dataset.Discover(t.Context(), b, "flights/*.parquet", dataset.DiscoverConfig{ShardRows: 200})
	if err != nil {
		t.Fatal(err)
	}
	if !schema.Equal(flightsSchema) {
		t.Errorf("schema %v", schema)
	}
	want := []dataset.Shard{
		{Object: 0, FirstRowGroup: 0, EndRowGroup: 1, Rows: 300, FirstRow: 0}, // larger than the target, left whole
		{Object: 1, FirstRowGroup: 0, EndRowGroup: 2, Rows: 200, FirstRow: 300},
		{Object: 1, FirstRowGroup: 2, EndRowGroup: 4, Rows: 200, FirstRow: 500},
		{Object: 1, FirstRowGroup: 4, EndRowGroup: 5, Rows: 50, FirstRow: 700},
		{Object: 2, FirstRowGroup: 0, EndRowGroup: 1, Rows: 30, FirstRow: 750}, // never across objects
	}
	if d := cmp.Diff(want, m.Shards); d != "" {
		t.Errorf("shards:\n%s", d)
	}
	if len(m.Objects) != 3 || m.Objects[0].Key != "flights/a.parquet" || m.Objects[1].RowGroups != 5 || m.Objects[2].ETag == "" {
		t.Errorf("objects %+v", m.Objects)
	}
	if m.Path != "flights/*.parquet" || m.Rows != 780 || m.SizeBytes != m.Objects[0].SizeBytes+m.Objects[1].SizeBytes+m.Objects[2].SizeBytes {
		t.Errorf("manifest %+v", m)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m, _, err := dataset.Discover(t.Context(), b, "flights/*.parquet", dataset.DiscoverConfig{ShardRows: 1}); err != nil || len(m.Shards) != 7 {
		t.Errorf("a shard for each row group: %v, %v", m.Shards, err)
	}
}

func TestManifestSurvivesJSONWithItsHash(t *testing.T) {
	b := lake(t, map[string][]byte{"a.parquet": flights(t, 1, 250, 100)})
	m, _, err := dataset.Discover(t.Context(), b, "a.parquet", dataset.DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back dataset.Manifest
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, &back); d != "" || back.Hash() != m.Hash() || len(m.Hash()) != 64 {
		t.Errorf("hash %s, then %s:\n%s", m.Hash(), back.Hash(), d)
	}
	if err := back.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := b.Put(t.Context(), "a.parquet", flights(t, 2, 250, 100)); err != nil {
		t.Fatal(err)
	}
	if again, _, err := dataset.Discover(t.Context(), b, "a.parquet", dataset.DiscoverConfig{}); err != nil || again.Hash() == m.Hash() {
		t.Errorf("other bytes, same hash %s (%v)", again.Hash(), err)
	}
}

func TestManifestValidateFindsInconsistencies(t *testing.T) {
	b := lake(t, map[string][]byte{"a.parquet": flights(t, 1, 250, 100), "b.parquet": flights(t, 1, 50, 100)})
	for name, spoil := range map[string]func(*dataset.Manifest){
		"row total":      func(m *dataset.Manifest) { m.Rows++ },
		"size total":     func(m *dataset.Manifest) { m.Objects[0].SizeBytes-- },
		"order":          func(m *dataset.Manifest) { m.Objects[0], m.Objects[1] = m.Objects[1], m.Objects[0] },
		"lost shard":     func(m *dataset.Manifest) { m.Shards = m.Shards[1:] },
		"last shard":     func(m *dataset.Manifest) { m.Shards = m.Shards[:len(m.Shards)-1] },
		"overlap":        func(m *dataset.Manifest) { m.Shards[1].FirstRowGroup-- },
		"past the end":   func(m *dataset.Manifest) { m.Shards[2].EndRowGroup++ },
		"first row":      func(m *dataset.Manifest) { m.Shards[1].FirstRow++ },
		"unknown object": func(m *dataset.Manifest) { m.Shards[3].Object = 7 },
		"negative rows":  func(m *dataset.Manifest) { m.Objects[0].Rows = -1 },
	} {
		m, _, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{ShardRows: 1})
		if err != nil {
			t.Fatal(err)
		}
		spoil(m)
		if err := m.Validate(); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiscoverPatterns(t *testing.T) {
	file := flights(t, 1, 5, 10)
	b := lake(t, map[string][]byte{"a.parquet": file, "x/a.parquet": file, "x/b1.parquet": file, "x/y/b2.parquet": file, "x/y/z/b3.parquet": file, "xx/b.parquet": file})
	for pattern, want := range map[string]int{
		"*.parquet": 1, "a.parquet": 1, "x/*.parquet": 2, "x/b?.parquet": 1, "x/[ab]*.parquet": 2, "*/*.parquet": 3, "x*/b*.parquet": 2,
		"**/*.parquet": 6, "x/**/b*.parquet": 3, "x/**": 4, "x/y/**/*.parquet": 2, "x/*/*/*.parquet": 1,
	} {
		m, _, err := dataset.Discover(t.Context(), b, pattern, dataset.DiscoverConfig{})
		if err != nil || len(m.Objects) != want {
			t.Errorf("%s names %d objects, not %d: %v", pattern, len(m.Objects), want, err)
		}
	}
	for pattern, kind := range map[string]thalweg.Kind{
		"flights/*.parquet": thalweg.NotFound, "x/": thalweg.Invalid, "": thalweg.Invalid, "/x/*.parquet": thalweg.Invalid, "x/[a.parquet": thalweg.Invalid,
	} {
		if _, _, err := dataset.Discover(t.Context(), b, pattern, dataset.DiscoverConfig{}); !thalweg.Is(err, kind) || !strings.Contains(err.Error(), pattern) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	// What a hint says to write is read.
	for pattern, want := range map[string]string{"x/y": "x/y/*.parquet", "xx": "xx/*.parquet", "x/**.parquet": "x/**/*.parquet",
		"q": "*.parquet", "q/*.parquet": "*.parquet"} {
		_, _, err := dataset.Discover(t.Context(), b, pattern, dataset.DiscoverConfig{})
		if _, _, again := dataset.Discover(t.Context(), b, want, dataset.DiscoverConfig{}); err == nil || !strings.Contains(err.Error(), " "+want+")") || again != nil {
			t.Errorf("%s: %v, want the hint %s, which gives %v", pattern, err, want, again)
		}
	}
	if _, _, err := dataset.Discover(t.Context(), b, "**", dataset.DiscoverConfig{MaxObjects: 5}); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("six objects of at most five: %v", err)
	}
}

// The hint on a pattern that names nothing, or what is no Parquet, is a pattern of
// what there is, which is read; where nothing is, it says so.
func TestHintsLeadToTheParquetThatThereIs(t *testing.T) {
	file := flights(t, 1, 5, 10)
	for _, c := range []struct {
		objects       map[string][]byte
		pattern, want string
	}{
		{map[string][]byte{"d/part-0000": file, "d/part-0001": file, "d/_SUCCESS": nil}, "d", "it is a folder: write s3://b/d/*"},
		{map[string][]byte{"d/part-0000": file, "d/_SUCCESS": nil}, "d/*.parquet", "there is s3://b/d/part-0000: write s3://b/d/*"},
		{map[string][]byte{"d/part-0000": file, "d/_SUCCESS": nil}, "d/_SUCCESS", "there is s3://b/d/part-0000: write s3://b/d/*"},
		{map[string][]byte{"d/part-0000": file, "d/_SUCCESS": nil}, "d/part", "there is s3://b/d/part-0000: write s3://b/d/*"},
		{map[string][]byte{"d/part-0000": file, "d/README.md": []byte("a text of some length")}, "d/*", "there is s3://b/d/part-0000: write s3://b/d/part-*"},
		{map[string][]byte{"d/part-0000": file, "d/README.md": []byte("a text of some length")}, "**", "there is s3://b/d/part-0000: write s3://b/d/part-*"},
		{map[string][]byte{"d/day=1/000": file, "d/day=2/000": file}, "d/*", "there is s3://b/d/day=1/000: write s3://b/d/**/*"},
		{map[string][]byte{"d/day=1/a.snappy.parquet": file}, "d", "it is a folder: write s3://b/d/**/*.parquet"},
		{map[string][]byte{"d/a.parquet.2024": file, "d/a.parquet.2025": file}, "d/*.parquet", "write s3://b/d/*"},
		{map[string][]byte{"d/a.PARQUET": file, "d/b.csv": []byte("a,b\n1,2\n3,4\n")}, "d/*.parquet", "write s3://b/d/*.PARQUET"},
		{map[string][]byte{"d/0": file, "d/x.csv": []byte("a,b\n1,2\n3,4\n")}, "d/*", "write s3://b/d/0"},
		{map[string][]byte{"flights/a.parquet": file, "archive/b.parquet": file}, "flight/*.parquet", "there is s3://b/flights/a.parquet: write s3://b/flights/*.parquet"},
		{map[string][]byte{"d/_SUCCESS": nil, "e/a.parquet": file}, "d/*", "there is s3://b/e/a.parquet: write s3://b/e/*.parquet"},
		{map[string][]byte{"d/a.csv": []byte("a,b\n1,2\n3,4\n"), "e/a.parquet": file}, "d/*.parquet", "there is no Parquet: s3://b/d/a.csv is none"},
		{map[string][]byte{"d/a.csv": []byte("a,b\n1,2\n3,4\n"), "e/a.parquet": file}, "d/a.csv", "there is no Parquet: s3://b/d/a.csv is none"},
		{nil, "d/*.parquet", "there is nothing near that"},
	} {
		b := lake(t, c.objects)
		_, _, err := dataset.Discover(t.Context(), b, c.pattern, dataset.DiscoverConfig{Root: "s3://b/"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %s: %v, want %s", slices.Sorted(maps.Keys(c.objects)), c.pattern, err, c.want)
		}
		if _, named, ok := strings.Cut(c.want, "write s3://b/"); ok {
			if _, _, err := dataset.Discover(t.Context(), b, named, dataset.DiscoverConfig{}); err != nil {
				t.Errorf("%s: the hint's %s gives %v", c.pattern, named, err)
			}
		}
	}
}

func TestHiddenFilesAndMarkersArePassedOverAndCounted(t *testing.T) {
	file := flights(t, 1, 5, 10)
	b := lake(t, map[string][]byte{
		"q/day=1/a.parquet": file, "q/_day=2/a.parquet": file, "q/_temporary/0/_temporary/attempt_1/part-0.parquet": file, "q/_delta_log/0.checkpoint.parquet": file,
		"q/.cache/a.parquet": file, "q/day=1/.a.parquet": file, "q/day=1/_tmp.a.parquet": file, "q/day=1/_SUCCESS": nil, "q/x_$folder$": nil, "q/.a.parquet.crc": nil,
		"m/_SUCCESS": nil, "m/x_$folder$": nil, "m/.a.parquet.crc": []byte("crc"), "_raw/a.parquet": file, "_raw/_b.parquet": file,
	})
	for pattern, want := range map[string][2]int64{ // objects and how many are passed over
		"q/**": {2, 8}, "q/**/*.parquet": {2, 5}, "q/day=1/*": {1, 3}, "q/_temporary/**": {1, 0}, "q/**/.*.parquet": {1, 0},
		"_raw/*.parquet": {1, 1}, "_raw/_*.parquet": {1, 0}, "_raw/_b.parquet": {1, 0},
	} {
		m, _, err := dataset.Discover(t.Context(), b, pattern, dataset.DiscoverConfig{})
		if err != nil || int64(len(m.Objects)) != want[0] || m.PassedOver != want[1] {
			t.Errorf("%s: %+v, want %v: %v", pattern, m, want, err)
		}
	}
	if _, _, err := dataset.Discover(t.Context(), b, "m/*", dataset.DiscoverConfig{}); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "3 that are passed over") {
		t.Errorf("only markers: %v", err)
	}
	if _, _, err := dataset.Discover(t.Context(), b, "m/_SUCCESS", dataset.DiscoverConfig{}); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("a marker by its name: %v", err)
	}
}

// withFooter returns a file with another footer than its own.
func withFooter(t testing.TB, data []byte, edit func(*format.FileMetaData)) []byte {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	edit(file.Metadata())
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), file.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	pages := len(data) - 8 - int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	out := append(slices.Clone(data[:pages]), footer...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}

func TestAnObjectWhoseFooterCountsNoRowsIsReadWithAWarning(t *testing.T) {
	data := flights(t, 1, 6, 10)
	b := lake(t, map[string][]byte{"a.parquet": withFooter(t, data, func(m *format.FileMetaData) { m.NumRows = 0 }), "b.parquet": data})
	m, _, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
	if err != nil || m.Rows != 12 || len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "object a.parquet: its footer says 0 rows, its row groups hold 6") {
		t.Fatalf("%+v: %v", m, err)
	}
	r, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sameValues(t, drain(t, r, 1<<16), readAll(t, data, nil, 1<<16))
}

func TestDiscoverNamesTheObjectThatIsNotParquet(t *testing.T) {
	good := flights(t, 1, 100, 100)
	for name, body := range map[string][]byte{
		"empty":      {},
		"short":      []byte("PAR1"),
		"only magic": []byte("PAR1PAR1"),
		"text":       []byte(strings.Repeat("date,delay\n", 100)),
		"truncated":  good[:len(good)-20],
		"no footer":  append(append([]byte{}, good[:len(good)-8]...), 0xff, 0xff, 0xff, 0x7f, 'P', 'A', 'R', '1'),
		"encrypted":  append(append([]byte{}, good[:len(good)-4]...), 'P', 'A', 'R', 'E'),
	} {
		b := lake(t, map[string][]byte{"f/a.parquet": good, "f/b.parquet": body})
		want := thalweg.Corrupt
		if name == "encrypted" {
			want = thalweg.Unsupported
		}
		_, _, err := dataset.Discover(t.Context(), b, "f/*.parquet", dataset.DiscoverConfig{})
		if !thalweg.Is(err, want) || !strings.Contains(err.Error(), "f/b.parquet") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// random returns a file of random rows of the fields, as another writer makes it.
func random(t testing.TB, fields ...arrow.Field) []byte {
	t.Helper()
	rec := randomRecord(rand.New(rand.NewPCG(1, 1)), arrow.NewSchema(fields, nil), 5, 0)
	defer rec.Release()
	return byPqarrow(t, []arrow.Record{rec})
}

func TestObjectsOfADatasetMayDifferInWidthsUnitsAndColumns(t *testing.T) {
	field := func(name string, t arrow.DataType) arrow.Field { return arrow.Field{Name: name, Type: t} }
	none := func(name string) arrow.Field { return arrow.Field{Name: name, Type: arrow.Null, Nullable: true} }
	nanos := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	b := lake(t, map[string][]byte{
		"a.parquet": random(t, field("x", arrow.PrimitiveTypes.Float64), field("n", arrow.PrimitiveTypes.Int8), field("at", arrow.FixedWidthTypes.Timestamp_ms),
			none("c"), field("mixed", arrow.PrimitiveTypes.Int64), field("only", arrow.FixedWidthTypes.Boolean), field("v", arrow.ListOf(arrow.PrimitiveTypes.Float64))),
		"b.parquet": random(t, field("n", arrow.PrimitiveTypes.Int64), field("x", arrow.PrimitiveTypes.Float32), field("at", nanos),
			field("c", arrow.BinaryTypes.String), field("mixed", arrow.BinaryTypes.String)),
		"c.parquet": random(t, field("x", arrow.PrimitiveTypes.Float64), field("n", arrow.PrimitiveTypes.Int32), field("at", arrow.FixedWidthTypes.Timestamp_us),
			none("c"), none("mixed"), field("late", arrow.PrimitiveTypes.Int16), field("v", arrow.ListOf(arrow.PrimitiveTypes.Float32))),
	})
	m, schema, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range schema.Fields() {
		got = append(got, fmt.Sprintf("%s %v %v", f.Name, f.Type, f.Nullable))
	}
	want := []string{"x float64 false", "n int8 false", "at timestamp[ms, tz=UTC] false", "c " + stringType.String() + " true",
		"mixed int64 in object a.parquet and string in object b.parquet, which must be one true", "only bool true", "v list<element: float64, nullable> true", "late int16 true"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns:\n%s", d)
	}
	for i, want := range []string{"float64 int8 timestamp[ms, tz=UTC] null bool null", "float32 int64 timestamp[ns, tz=UTC] " + stringType.String() + " null null",
		"float64 int32 timestamp[us, tz=UTC] null null int16"} {
		r, err := dataset.OpenShard(t.Context(), b, m, i, []string{"x", "n", "at", "c", "only", "late"}, dataset.ReaderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, f := range r.Schema().Fields() {
			types = append(types, f.Type.String())
		}
		if got := strings.Join(types, " "); got != want {
			t.Errorf("object %d has %s, want %s", i, got, want)
		}
		rows := drain(t, r, 1<<16)
		for j, f := range r.Schema().Fields() {
			if nulls := strings.Count(strings.Join(rows[f.Name], " "), "null"); len(rows[f.Name]) != 5 || (types[j] == "null") != (nulls == 5) {
				t.Errorf("object %d: column %s is %v", i, f.Name, rows[f.Name])
			}
		}
		r.Close()
	}
}

func TestAColumnThatOccursTwiceMattersToWhoAsksForIt(t *testing.T) {
	twice := withFooter(t, flights(t, 1, 6, 10), func(m *format.FileMetaData) { m.Schema[2].Name, m.Schema[5].Name = "", "origin" })
	b := lake(t, map[string][]byte{"a.parquet": flights(t, 1, 6, 10), "b.parquet": twice})
	m, schema, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if f, _ := schema.FieldsByName("origin"); len(f) != 1 || !strings.Contains(f[0].Type.String(), "twice in object b.parquet") {
		t.Errorf("origin: %v", f)
	}
	if r, err := dataset.OpenShard(t.Context(), b, m, 1, []string{"distance", "date"}, dataset.ReaderConfig{}); err != nil {
		t.Error(err)
	} else if rows := drain(t, r, 10); len(rows["distance"]) != 6 {
		t.Errorf("rows %v", rows)
	}
	if _, err := dataset.OpenShard(t.Context(), b, m, 1, []string{"origin"}, dataset.ReaderConfig{}); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), `column "origin"`) {
		t.Errorf("asked for: %v", err)
	}
}

func TestDiscoverReadsAFooterWithOneRequest(t *testing.T) {
	b := &counting{Bucket: lake(t, map[string][]byte{"a.parquet": flights(t, 1, 1000, 100)})}
	if _, _, err := dataset.Discover(t.Context(), b, "a.parquet", dataset.DiscoverConfig{}); err != nil {
		t.Fatal(err)
	}
	if n := b.ranges.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	// One of many columns and row groups does not fit the first guess.
	fields := make([]arrow.Field, 300)
	for i := range fields {
		fields[i] = arrow.Field{Name: strings.Repeat("column", 5) + string(rune('0'+i%10)) + strings.Repeat("x", i/10), Type: arrow.PrimitiveTypes.Int64}
	}
	wide := written(t, 4, randomRecord(rand.New(rand.NewPCG(1, 1)), arrow.NewSchema(fields, nil), 20, 0))
	b = &counting{Bucket: lake(t, map[string][]byte{"a.parquet": wide})}
	m, _, err := dataset.Discover(t.Context(), b, "a.parquet", dataset.DiscoverConfig{})
	if err != nil || m.Rows != 20 || b.ranges.Load() != 2 {
		t.Errorf("%d requests: %v", b.ranges.Load(), err)
	}
}

// Integers beside numbers are numbers, in either order; other types beside each other
// are told with both objects.
func TestTypesOfOneColumnInSeveralObjects(t *testing.T) {
	decimal := &arrow.Decimal128Type{Precision: 20, Scale: 3}
	for _, c := range []struct {
		a, b arrow.DataType
		want string // "" where they are one
	}{
		{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, "float64"},
		{arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Int32, "float32"},
		{arrow.PrimitiveTypes.Uint8, decimal, "decimal(20, 3)"},
		{arrow.PrimitiveTypes.Float64, decimal, "float64"},
		{arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Timestamp_us, "date32"},
		{arrow.BinaryTypes.String, stringType, stringType.String()},
		{arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int64, ""},
		{arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Boolean, ""},
		{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, ""},
		{arrow.PrimitiveTypes.Int64, arrow.FixedWidthTypes.Timestamp_us, ""},
		{arrow.FixedWidthTypes.Date32, arrow.BinaryTypes.String, ""},
	} {
		field := func(t arrow.DataType) arrow.Field { return arrow.Field{Name: "x", Type: t} }
		b := lake(t, map[string][]byte{"a.parquet": random(t, field(c.a)), "b.parquet": random(t, field(c.b))})
		_, schema, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
		if err != nil {
			t.Fatal(err)
		}
		got := schema.Field(0).Type.String()
		if c.want != "" && got != c.want || c.want == "" && !(strings.Contains(got, "in object a.parquet and ") && strings.Contains(got, "in object b.parquet")) {
			t.Errorf("%v beside %v is %s, want %s", c.a, c.b, got, c.want)
		}
	}
}
