package artifact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const joinedSpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: joined}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  lookups: [{name: places, s3: {path: "s3://lake/places.csv"}, format: {type: csv}, key: {code: iata}, columns: [state, height]}]
  tests: [{column: code, in_lookup: places, apply_to: [scoring]}]
  preprocessing: {clean: [{lookup: {table: places}}]}
  input_features: [{name: height, type: number}, {name: state, type: category}]
  output_features: [{name: y, type: number}]
`

// A version scores with the table that it was trained with, in batch as in the stream,
// and one whose table is another is refused.
func TestTheTableIsPartOfTheVersion(t *testing.T) {
	b := table.NewLookupBuilder("places", []table.Column{{Name: "iata", Type: table.String}, {Name: "state", Type: table.String}, {Name: "height", Type: table.Float64}}, 1)
	read := tabletest.Batch(memory.DefaultAllocator, table.Schema{Columns: []table.Column{{Name: "iata", Type: table.String}, {Name: "state", Type: table.String}, {Name: "height", Type: table.Float64}}}, 0,
		[]any{"JFK", "NY", 4.0}, []any{"LAX", "CA", nil}, []any{"SFO", "CA", -0.5})
	defer read.Release()
	if err := b.Add(read); err != nil {
		t.Fatal(err)
	}
	places, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	places.Objects = []table.LookupObject{{Key: "places.csv", SizeBytes: 30, ETag: "e1"}}
	columns := table.Schema{Columns: []table.Column{{Name: "code", Type: table.String, Nullable: true}, {Name: "y", Type: table.Float64}}, Lookups: []*table.Lookup{places}}
	var rows [][]any
	for i := range 60 {
		rows = append(rows, []any{[]any{"JFK", "LAX", "SFO", "OSL", nil}[i%5], float64(i)})
	}
	trained := artifacttest.Train(t, joinedSpec, columns, 1, rows...)
	parts, err := trained.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []artifact.Lookup{{Name: "places", SHA256: places.SHA256(), Rows: 3, Objects: places.Objects}}
	a, err := artifact.Decode(catalog.All(), parts)
	if err != nil || !cmp.Equal(a.Provenance.Lookups, want) {
		t.Fatalf("%v, %+v", err, a)
	}
	predicted := make(map[string]string)
	for _, phase := range []pipeline.Phase{pipeline.InTraining, pipeline.InScoring} {
		for i, of := range []*artifact.Artifact{trained, a} {
			s, err := of.NewScorer(phase)
			if err != nil {
				t.Fatal(err)
			}
			for k, row := range rows[:5] {
				batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, row)
				rep := pipeline.Report{KeepRemoved: true}
				cleaned, predictions, err := s.Score(t.Context(), batch, &rep)
				batch.Release()
				if err != nil {
					t.Fatal(err)
				}
				got, name := fmt.Sprint(predictions), fmt.Sprint(row[0])
				if phase == pipeline.InScoring && name == "OSL" {
					if cleaned.NumRows() != 0 || len(rep.Removed) != 1 || rep.Removed[0].Reason != "test 1 in_lookup code: value in lookup places" {
						t.Errorf("an event of no key of the table: %+v", rep)
					}
				} else if before, seen := predicted[name]; seen && before != got {
					t.Errorf("%s %d: row %v has %s, not %s", phase, i, row, got, before)
				} else if want := map[string]string{"JFK": "NY 4", "LAX": "CA <nil>", "SFO": "CA -0.5"}[name]; want != "" {
					values := tabletest.Rows(cleaned)[0]
					if state := fmt.Sprint(values[len(values)-3], " ", values[len(values)-2]); state != want {
						t.Errorf("%s %d: row %v has %s, not %s", phase, i, row, state, want)
					}
				}
				if unmatched := rep.Unmatched["1 lookup places"]; (unmatched == 1) != (k > 2) {
					t.Errorf("%v: %d rows are unmatched", row, unmatched)
				}
				if cleaned.NumRows() > 0 {
					predicted[name] = got
				}
				cleaned.Release()
			}
		}
	}
	for what, change := range map[string]func(l *table.Lookup){
		"another value": func(l *table.Lookup) {
			l.Cells[1] = json.RawMessage(strings.Replace(string(l.Cells[1]), "NY", "NJ", 1))
		},
		"another object":            func(l *table.Lookup) { l.Objects[0].ETag = "e2" },
		"a key twice":               func(l *table.Lookup) { l.Cells[0] = json.RawMessage(`["JFK","JFK","LAX"]`) },
		"a value that is no number": func(l *table.Lookup) { l.Cells[2] = json.RawMessage(`["4",null,"low"]`) },
		"another column":            func(l *table.Lookup) { l.Columns[2].Name = "depth" },
		"another name":              func(l *table.Lookup) { l.Name = "plates" },
	} {
		var schema table.Schema
		if err := json.Unmarshal(parts[artifact.PartSchema], &schema); err != nil {
			t.Fatal(err)
		}
		change(schema.Lookups[0])
		changed := maps.Clone(parts)
		if changed[artifact.PartSchema], err = json.Marshal(schema); err != nil || bytes.Equal(changed[artifact.PartSchema], parts[artifact.PartSchema]) {
			t.Fatal(what, err)
		}
		if _, err := artifact.Decode(catalog.All(), changed); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
