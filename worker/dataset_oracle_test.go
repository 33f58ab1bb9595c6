package worker

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

// readTable returns the rows of an object, nil where there is null, and the lines of those
// that are bad.
func readTable(t testing.TB, bucket storage.Bucket, key, text, format string, columns table.Schema) (rows [][]any, bad []int64) {
	t.Helper()
	rows, rejected, _ := tryTable(t, bucket, key, text, format, columns)
	for _, row := range rejected {
		bad = append(bad, row.Line)
	}
	return rows, bad
}

// tryTable returns the rows of an object, nil where there is null, and those that are
// rejected; or why no row of it is read.
func tryTable(t testing.TB, bucket storage.Bucket, key, text, format string, columns table.Schema) (rows [][]any, bad []pipeline.BadRow, err error) {
	t.Helper()
	from := tableSource(t, bucket, key, text, format)
	from.Reject = func(row pipeline.BadRow) { bad = append(bad, row) }
	m, _, err := from.Discover(t.Context())
	if err != nil {
		return nil, nil, err
	}
	rows = rowsOf(t, from, m, columns)
	return rows, bad, nil
}

// tableSource returns the source of an object that it makes.
func tableSource(t testing.TB, bucket storage.Bucket, key, text, format string) DatasetSource {
	t.Helper()
	if _, err := bucket.Put(t.Context(), key, []byte(text)); err != nil {
		t.Fatal(err)
	}
	var options map[string]any
	if err := json.Unmarshal([]byte(format), &options); err != nil {
		t.Fatal(err)
	}
	name := options["type"].(string)
	delete(options, "type")
	raw, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	spec := new(pipeline.Spec)
	train := &spec.Spec.Sources.Train
	if train.Format, err = catalog.All().Choose(pipeline.DatasetFormats, name, raw); err != nil {
		t.Fatal(err)
	}
	if train.Format.Options, err = pipeline.Complete(train.Format.Options); err != nil {
		t.Fatal(err)
	}
	from, err := Source(spec, DatasetFormats())
	if err != nil {
		t.Fatal(err)
	}
	from.Bucket, from.Pattern = bucket, key
	return from
}

// rowsOf returns the rows of all shards.
func rowsOf(t testing.TB, from DatasetSource, m *dataset.Manifest, columns table.Schema) (rows [][]any) {
	t.Helper()
	for shard := range m.Shards {
		r, err := from.OpenRows(t.Context(), m, shard, columns, dataset.ReaderConfig{BatchRows: 5})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			batch, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for row := range int(batch.NumRows()) {
				rows = append(rows, valuesOf(batch, row))
			}
			batch.Release()
		}
	}
	return rows
}

// valuesOf returns the values of a row, without its number.
func valuesOf(batch arrow.Record, row int) (values []any) {
	for _, column := range batch.Columns()[:batch.NumCols()-1] {
		if column.IsNull(row) {
			values = append(values, nil)
			continue
		}
		switch c := column.(type) {
		case *array.Dictionary:
			values = append(values, c.Dictionary().(*array.String).Value(c.GetValueIndex(row)))
		case *array.Float64:
			values = append(values, c.Value(row))
		}
	}
	return values
}

func texty(names ...string) (s table.Schema) {
	for _, name := range names {
		s.Columns = append(s.Columns, table.Column{Name: name, Type: table.String, Nullable: true})
	}
	return s
}

// Dialects are read as DuckDB and pandas read them: testdata/texts.py says how.
func TestDialectsAreReadAsOthersDo(t *testing.T) {
	data, err := os.ReadFile("testdata/texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Format, Text string
		Rows         [][]any
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	columns := texty("a", "b", "f")
	columns.Columns[2].Type = table.Float64
	bucket := storememory.New()
	for i, c := range cases {
		text, err := base64.StdEncoding.DecodeString(c.Text)
		if err != nil {
			t.Fatal(err)
		}
		got, bad := readTable(t, bucket, "a", string(text), c.Format, columns)
		if !reflect.DeepEqual(got, c.Rows) || bad != nil {
			t.Errorf("%d, %s: %q: got %q, bad lines %v, want %q", i, c.Format, text, got, bad, c.Rows)
		}
	}
	if len(cases) < 40 {
		t.Errorf("only %d cases", len(cases))
	}
}

// A garbled table gives the rows that encoding/csv reads of it, up to where that gives
// up, and those behind are rows of the same width; no value is in another's column.
func TestGarbledTablesGiveTheRightRowsOrNone(t *testing.T) {
	bucket, columns := storememory.New(), texty("x", "y", "z")
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		var b strings.Builder
		for range r.IntN(20) + 1 { // the values say which column they are of
			b.WriteString([]string{"x1", `"x,2"`, "\"x\n3\"", `"x""4"`}[r.IntN(4)] + "," + []string{"y1", `"y2"`, "\"y\r\n\"", `"y""3"`}[r.IntN(4)] + "," + []string{"z1", `"z,"`, "\"z\n\"", "zé"}[r.IntN(4)])
			b.WriteString([]string{"\n", "\r\n"}[r.IntN(2)])
		}
		text := []byte(b.String())
		for range r.IntN(5) {
			at := r.IntN(len(text))
			switch r.IntN(3) {
			case 0:
				text = slices.Delete(text, at, at+1)
			case 1:
				text = slices.Insert(text, at, "\",\n\rx\xff"[r.IntN(6)])
			default:
				text[at] = "\",\n\rx\xff"[r.IntN(6)]
			}
		}
		var want [][]any
		c := csv.NewReader(strings.NewReader(string(text)))
		c.FieldsPerRecord = -1
		last := 0
		for {
			fields, err := c.Read()
			if err != nil {
				break
			}
			last, _ = c.FieldPos(0)
			row := make([]any, len(fields))
			sound := len(fields) == 3
			for i, f := range fields {
				if row[i] = f; f == "" {
					row[i] = nil
				}
				sound = sound && utf8.ValidString(f)
			}
			if sound {
				want = append(want, row)
			}
		}
		got, bad := readTable(t, bucket, "a", string(text), `{"type": "csv", "header": false, "columns": ["x", "y", "z"]}`, columns)
		n := 0
		for ; n < len(want) && n < len(got); n++ {
			for i, v := range got[n] {
				value, _ := v.(string)
				other, _ := want[n][i].(string)
				if strings.ReplaceAll(value, "\r", "") != strings.ReplaceAll(other, "\r", "") {
					t.Fatalf("seed %d, %q: row %d is %q, want %q", seed, text, n, got[n], want[n])
				}
			}
		}
		if n < len(want) {
			t.Fatalf("seed %d, %q: %d rows, want %d up to line %d; bad are lines %v", seed, text, n, len(want), last, bad)
		}
	}
}
