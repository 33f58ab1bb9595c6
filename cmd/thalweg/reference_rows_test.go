package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage/dataset"
)

// referenceRows are the rows of testdata/reference.json and what other programs make of them.
type referenceRows struct {
	Rows, Places [][]any
	Cases        []struct {
		Entries []string
		Spec    string
		Columns []string
		Rows    [][]any
		Failing *int64
	}
}

func readReference(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatal(file, err)
	}
}

// referenceTable returns rows as a Parquet file of several row groups.
func referenceTable(t *testing.T, schema table.Schema, rows [][]any) string {
	t.Helper()
	for _, row := range rows {
		for k, v := range row {
			var err error
			switch n, _ := v.(json.Number); {
			case n == "" && v == "NaN" && schema.Columns[k].Type == table.Float64:
				row[k] = math.NaN()
			case n != "" && schema.Columns[k].Type == table.Float64:
				row[k], err = n.Float64()
			case n != "":
				row[k], err = n.Int64()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
	n := len(schema.Columns)
	plain := arrow.NewSchema(batch.Schema().Fields()[:n], nil)
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, plain, dataset.WriterConfig{RowGroupRows: 100})
	if err == nil {
		err = w.Write(array.NewRecord(plain, batch.Columns()[:n], batch.NumRows()))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Each step, split and data test leaves, splits and fails the rows that DuckDB does, or plain
// code of testdata/reference.py: of flights, and of rows with nulls, NaN, extremes and Unicode.
func TestStepsSplitsAndTestsDoWhatDuckDBDoes(t *testing.T) {
	var all referenceRows
	readReference(t, "testdata/reference.json", &all)
	dir, c := t.TempDir(), new(embedded.Cluster)
	c.Endpoints.API, c.Endpoints.Store = []string{"127.0.0.1:1"}, "file://"+dir // neither is asked
	schema := func(pairs ...string) (s table.Schema) {
		for i := 0; i < len(pairs); i += 2 {
			s.Columns = append(s.Columns, table.Column{Name: pairs[i], Type: table.Type(pairs[i+1]), Nullable: true})
		}
		return s
	}
	put(t, dir+"/rows.parquet", referenceTable(t, schema("id", "int64", "k", "string", "s", "string", "n", "int64", "f", "float64", "t", "timestamp"), all.Rows))
	put(t, dir+"/places.parquet", referenceTable(t, schema("code", "string", "state", "string", "height", "int64"), all.Places))
	failing := regexp.MustCompile(`(?m)^1 (?:[^r].*|r[^o].*) warn +([\d,]+) |there are ([\d,]+) rows`)
	for _, tc := range all.Cases {
		name := strings.Join(tc.Entries, ", ") + ": " + tc.Spec
		put(t, dir+"/spec.yaml", specOf("reference", "  input_features: [{name: one, type: number, expression: \"1\"}]\n  output_features: [{name: id, type: number}]\n  "+tc.Spec+"\n"))
		args := []string{"clean", "-f", dir + "/spec.yaml", "--data", dir + "/rows.parquet", "--into", dir + "/out.parquet"}
		if strings.Contains(tc.Spec, "lookups:") {
			args = append(args, "--lookup", "places="+dir+"/places.parquet")
		}
		said, err := command(t, c, args...)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
			continue
		}
		if tc.Failing != nil {
			n := failing.FindStringSubmatch(said)
			if n == nil || strings.ReplaceAll(n[1]+n[2], ",", "") != strconv.FormatInt(*tc.Failing, 10) {
				t.Errorf("%s: %d rows fail, and it said\n%s", name, *tc.Failing, said)
			}
		}
		if tc.Columns == nil {
			continue
		}
		local, err := localdata.OpenFiles(t.Context(), dir+"/out.parquet", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string][]any)
		dropped := 0
		if err := local.Each(t.Context(), func(batch arrow.Record) error {
			at := func(name string) int { return slices.Max(append(batch.Schema().FieldIndices(name), -1)) }
			for i := range int(batch.NumRows()) {
				if batch.Column(at("_split")).IsValid(i) && tabletest.Value(batch.Column(at("_split")), i) == "dropped" {
					dropped++
					continue
				}
				var row []any
				for _, name := range tc.Columns {
					k := at(name)
					if k < 0 {
						return fmt.Errorf("no column %s", name)
					}
					row = append(row, tabletest.Value(batch.Column(k), i))
				}
				got[fmt.Sprint(row[0])] = row
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wrong := 0
		for _, want := range tc.Rows {
			row := got[fmt.Sprint(want[0])]
			if delete(got, fmt.Sprint(want[0])); !sameRow(row, want) {
				if wrong++; wrong <= 3 {
					t.Errorf("%s: row is %v, want %v", name, row, want)
				}
			}
		}
		if len(got) > 0 || dropped != len(all.Rows)-len(tc.Rows) {
			t.Errorf("%s: %d rows should have been dropped, among them %v; %d are", name, len(all.Rows)-len(tc.Rows), got, dropped)
		}
	}
}

// sameRow compares values with those of JSON; floats of those may be in quotes.
func sameRow(row, want []any) bool {
	for i, w := range want {
		if len(row) != len(want) {
			return false
		}
		v := row[i]
		if f, ok := v.(float64); ok {
			n, err := strconv.ParseFloat(strings.Trim(fmt.Sprint(w), `"`), 64)
			if err != nil || n != f {
				return false
			}
			continue
		}
		if (v == nil) != (w == nil) || v != nil && fmt.Sprint(v) != strings.ReplaceAll(fmt.Sprint(w), "nan", "NaN") {
			return false
		}
	}
	return true
}

// Whoever adds a step, encoder, normalization, split, data test or treatment of missing values
// adds a case of it to a script that asks another program.
func TestEachEntryOfTheCatalogsHasACaseOfAnotherProgram(t *testing.T) {
	has := make(map[string]bool)
	for _, file := range []string{"testdata/reference.json", "../../pipeline/feature/testdata/reference.json"} {
		var r struct{ Cases []struct{ Entries []string } }
		readReference(t, file, &r)
		for _, c := range r.Cases {
			for _, e := range c.Entries {
				has[e] = true
			}
		}
	}
	has["tests like_champion"] = true // pipeline/drift/testdata asks NumPy and SciPy, as it needs a version before
	choices := catalog.All()
	for kind, file := range map[pipeline.Kind]string{
		pipeline.Steps: "cmd/thalweg/testdata/reference.py", pipeline.Splits: "cmd/thalweg/testdata/reference.py", pipeline.Tests: "cmd/thalweg/testdata/reference.py",
		pipeline.Encoders: "pipeline/feature/testdata/reference.py", pipeline.Normalizations: "pipeline/feature/testdata/reference.py", pipeline.MissingValues: "pipeline/feature/testdata/reference.py",
	} {
		for _, e := range choices[kind] {
			name := string(kind) + " " + e.Name
			if of, ok := e.Options.(pipeline.Typed); ok && kind == pipeline.MissingValues {
				name = string(kind) + " " + of.For() + " " + e.Name
			}
			if !has[name] {
				t.Errorf("%q has no case of another program: add one to %s, which says how reference.json is made of it", name, file)
			}
		}
	}
}
