package dataset_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// oneColumn writes values of one column by parquet-go.
func oneColumn(t testing.TB, node parquet.Node, values []parquet.Value, opts ...parquet.WriterOption) []byte {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewWriter(&out, append(opts, parquet.NewSchema("test", parquet.Group{"x": node}))...)
	for _, v := range values {
		def := 0
		if node.Optional() && !v.IsNull() {
			def = 1
		}
		if _, err := w.WriteRows([]parquet.Row{{v.Level(0, def, 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func textValues(texts ...string) []parquet.Value {
	out := make([]parquet.Value, len(texts))
	for i, s := range texts {
		out[i] = parquet.ByteArrayValue([]byte(s))
	}
	return out
}

// batches reads all batches of a file.
func batches(t testing.TB, data []byte, cfg dataset.ReaderConfig) ([]arrow.Record, *dataset.Reader) {
	t.Helper()
	r, err := dataset.OpenBytes("test.parquet", data, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	var out []arrow.Record
	for {
		rec, err := r.Next()
		if err != nil {
			return out, r
		}
		out = append(out, rec)
	}
}

func TestInvalidUTF8IsRepairedAsJSONDoes(t *testing.T) {
	bad := []string{"fine", "a\xffb", "\xe6\x9d", "\xb1end", "\xed\xa0\x80", "東京", ""}
	for _, enc := range []parquet.Node{parquet.String(), parquet.Encoded(parquet.String(), &parquet.RLEDictionary)} {
		recs, _ := batches(t, oneColumn(t, enc, textValues(bad...)), dataset.ReaderConfig{})
		for i, s := range bad {
			var want string
			if err := json.Unmarshal([]byte(`"`+s+`"`), &want); err != nil {
				t.Fatal(err)
			}
			if got := text(recs[0].Column(0), i); got != fmt.Sprintf("%q", want) {
				t.Errorf("%q became %s, JSON makes it %q", s, got, want)
			}
		}
	}
}

func TestABatchHasOneDictionaryOfDistinctValues(t *testing.T) {
	// The first pages have a dictionary, the later ones are plain.
	var values []string
	for i := range 400 {
		values = append(values, fmt.Sprintf("value %d", i%(20+i/4)))
	}
	node := parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	data := oneColumn(t, node, textValues(values...), parquet.PageBufferSize(500), parquet.DictionaryMaxBytes(300), parquet.DataPageStatistics(false))
	for _, batchRows := range []int{400, 130, 50} {
		recs, _ := batches(t, data, dataset.ReaderConfig{BatchRows: batchRows})
		at, shared := 0, 0
		var last *memory.Buffer
		for _, rec := range recs {
			d := rec.Column(0).(*array.Dictionary)
			seen := make(map[string]bool)
			for i := range d.Dictionary().Len() {
				v := d.Dictionary().(*array.String).Value(i)
				if seen[v] {
					t.Fatalf("%q twice in a dictionary", v)
				}
				seen[v] = true
			}
			for i := range d.Len() {
				if got := text(d, i); got != fmt.Sprintf("%q", values[at]) {
					t.Fatalf("row %d is %s", at, got)
				}
				at++
			}
			if b := d.Data().Dictionary().Buffers()[2]; b == last {
				shared++
			} else {
				last = b
			}
		}
		if at != len(values) || (batchRows == 50 && shared == 0) {
			t.Errorf("batches of %d: %d rows, %d of %d share their dictionary", batchRows, at, shared, len(recs))
		}
	}
}

func TestAnAllNullStringColumnHasADictionaryAllTheSame(t *testing.T) {
	node := parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
	recs, _ := batches(t, oneColumn(t, node, make([]parquet.Value, 5)), dataset.ReaderConfig{})
	d := recs[0].Column(0).(*array.Dictionary)
	if d.NullN() != 5 || d.Dictionary().Len() != 1 {
		t.Errorf("%d nulls, %d entries", d.NullN(), d.Dictionary().Len())
	}
	checkIndices(t, d)
}

func TestValuesThatDoNotFitTheirTypeAreCorrupt(t *testing.T) {
	for name, data := range map[string][]byte{
		"int8":    oneColumn(t, parquet.Int(8), []parquet.Value{parquet.Int32Value(5), parquet.Int32Value(128)}),
		"uint16":  oneColumn(t, parquet.Uint(16), []parquet.Value{parquet.Int32Value(-1)}),
		"decimal": oneColumn(t, parquet.Decimal(0, 38, parquet.ByteArrayType), []parquet.Value{parquet.ByteArrayValue(bytes.Repeat([]byte{1}, 17))}),
	} {
		r, err := dataset.OpenBytes("test.parquet", data, nil, dataset.ReaderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Next()
		if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), `object test.parquet, row group 0, column "x"`) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}

func TestExtremeIntegersSurviveTheWriter(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int32}, {Name: "c", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range 500 {
		b.Field(0).(*array.Int64Builder).Append([]int64{math.MinInt64, math.MaxInt64, 0, -1, 1}[i*i%5])
		b.Field(1).(*array.Int32Builder).Append([]int32{math.MinInt32, math.MaxInt32, 0, -1, 1}[i*i%5])
		b.Field(2).(*array.Int64Builder).Append(math.MaxInt64 - int64(i%7)) // close together, at the end of the range
	}
	rec := b.NewRecord()
	data := write(t, dataset.WriterConfig{}, schema, rec)
	want := make(table)
	for i, f := range schema.Fields() {
		want.add(f.Name, rec.Column(i))
	}
	got := readAll(t, data, nil, 100)
	sameValues(t, got, want)
	sameValues(t, pqarrowAll(t, data), want)
}
