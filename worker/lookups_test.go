package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storagememory "github.com/thalweg/thalweg/storage/memory"
)

// read reads the table of a spec out of files, by name.
func read(t *testing.T, lookup string, files map[string]string) (*table.Lookup, []string, error) {
	t.Helper()
	spec, err := pipeline.Parse(catalog.All(), "", fmt.Appendf(nil, `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: joined}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  lookups: [{name: airports, %s}]
  tests: [{column: origin, in_lookup: airports}]
  input_features: [{name: x, type: number}]
  output_features: [{name: y, type: number}]
`, lookup))
	if err != nil {
		t.Fatal(err)
	}
	bucket := storagememory.New()
	for name, text := range files {
		if _, err := bucket.Put(t.Context(), name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	tables, warnings, err := ReadLookups(t.Context(), spec, DatasetFormats(), func(_ context.Context, l *pipeline.LookupTable) (storage.Bucket, string, error) {
		_, key, err := pipeline.SplitS3Path(l.S3.Path)
		return bucket, key, err
	})
	if err != nil {
		return nil, nil, err
	}
	return tables[0], warnings, nil
}

// The same rows are the same table, whatever files they come in.
func TestATableIsReadFromFilesOfAnyFormat(t *testing.T) {
	columns := table.Schema{Columns: []table.Column{{Name: "iata", Type: table.String, Nullable: true}, {Name: "height", Type: table.Int64, Nullable: true}, {Name: "name", Type: table.String}}}
	rec := tabletest.Batch(memory.DefaultAllocator, columns, 0, []any{"LAX", nil, "Ä"}, []any{"JFK", int64(13), "b"}, []any{nil, int64(2), "lost"})
	defer rec.Release()
	const csv = `format: {type: csv}`
	sums := make(map[string]string)
	for _, tc := range []struct {
		files  map[string]string
		format string
	}{
		{map[string]string{"a/all.csv": "iata,height,name\nLAX,,Ä\n,2,lost\nJFK,13,b\n"}, csv},
		{map[string]string{"a/1.csv": "name,iata,height\nb,JFK,13\n", "a/2.csv": "iata,height,name\nLAX,,Ä\n,3,lost\n"}, csv},
		{map[string]string{"a/all.jsonl": `{"iata": "JFK", "height": 13, "name": "b", "more": 1}` + "\n" + `{"iata": "LAX", "name": "Ä"}` + "\n" + `{"height": 2, "name": "?"}` + "\n"}, `format: {type: jsonl}`},
		{map[string]string{"a/all.parquet": string(parquetOf(t, rec))}, `format: {type: parquet}`},
		{map[string]string{"a/all.arrow": string(arrowOf(t, rec))}, `format: {type: arrow}`},
	} {
		l, warnings, err := read(t, `s3: {path: "s3://lake/a/*"}, key: {origin: iata}, columns: [height, name], `+tc.format, tc.files)
		if err != nil {
			t.Errorf("%s: %v", tc.format, err)
			continue
		}
		if l.Rows != 2 || len(l.Objects) != len(tc.files) || l.Objects[0].ETag == "" || fmt.Sprint(warnings) != "[1 rows of table airports have no key, and no row is joined to them]" {
			t.Errorf("%s: %+v, %v", tc.format, l, warnings)
		}
		sums[l.SHA256()] = tc.format
	}
	if len(sums) != 1 {
		t.Errorf("the tables are %v", sums)
	}
}

func TestATableThatCannotBeJoinedSaysWhy(t *testing.T) {
	for want, tc := range map[string]struct{ lookup, text string }{
		`table airports: has two rows of the key iata "JFK"`:                  {"", "iata,height\nJFK,1\nLAX,1\nJFK,2\n"},
		"table airports: column iata: is not in the table (did you mean iat?": {"", "iat,height\nJFK,1\n"},
		"column height: a key cannot be float64":                              {"key: {origin: height}", "height\n1.5\n"},
		"no object matches":                                                   {`s3: {path: "s3://lake/b/*"}`, ""},
	} {
		lookup := tc.lookup
		for _, field := range []string{`s3: {path: "s3://lake/a/*"}`, "key: {origin: iata}", "format: {type: csv}"} {
			if name, _, _ := strings.Cut(field, ":"); !strings.HasPrefix(tc.lookup, name) {
				lookup += ", " + field
			}
		}
		_, _, err := read(t, strings.TrimPrefix(lookup, ", "), map[string]string{"a/1.csv": tc.text})
		if err == nil || !strings.Contains(err.Error(), want) || !thalweg.Is(err, thalweg.Invalid) && !thalweg.Is(err, thalweg.NotFound) {
			t.Errorf("%v, not %s", err, want)
		}
	}
}

// parquetOf writes the columns of a batch, but for the row's number.
func parquetOf(t *testing.T, rec arrow.Record) []byte {
	t.Helper()
	plain := withoutNumbers(rec)
	defer plain.Release()
	var body bytes.Buffer
	out, err := dataset.NewWriter(&body, plain.Schema(), dataset.WriterConfig{})
	if err == nil {
		err = errors.Join(out.Write(plain), out.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

// arrowOf is parquetOf as a stream of Arrow IPC.
func arrowOf(t *testing.T, rec arrow.Record) []byte {
	t.Helper()
	plain := withoutNumbers(rec)
	defer plain.Release()
	var body bytes.Buffer
	out := ipc.NewWriter(&body, ipc.WithSchema(plain.Schema()))
	if err := errors.Join(out.Write(plain), out.Close()); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

func withoutNumbers(rec arrow.Record) arrow.Record {
	last := int(rec.NumCols()) - 1
	return array.NewRecord(arrow.NewSchema(rec.Schema().Fields()[:last], nil), rec.Columns()[:last], rec.NumRows())
}
