package artifact

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// sample returns the rows that a library has scored, their columns, and the sums.
func sample(t *testing.T, name string) (schema table.Schema, rows [][]any, raw []float64) {
	t.Helper()
	columns, raw := importedtest.Sample(t, name)
	for i := range raw {
		rows = append(rows, []any{float64(i % 2)})
	}
	schema.Columns = []table.Column{{Name: "label", Type: table.Float64, Nullable: true}}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		c := table.Column{Name: name, Type: table.Float64, Nullable: true}
		for i, v := range columns[name] {
			text, ok := v.(string)
			var n int64
			switch _, err := fmt.Sscan(text, &n); {
			case name == "month" && ok && err == nil:
				c.Type, v = table.Int64, n
			case name == "month" && !ok:
				c.Type, v = table.Int64, int64(v.(float64))
			case ok:
				c.Type = table.String
			}
			rows[i] = append(rows[i], v)
		}
		schema.Columns = append(schema.Columns, c)
	}
	return schema, rows, raw
}

// takenOver returns what became of an imported model, and the rows that its library has
// scored.
func takenOver(t *testing.T, name string, e *imported.Ensemble) (*Artifact, arrow.Record, []float64) {
	t.Helper()
	schema, rows, raw := sample(t, name)
	var features, output strings.Builder
	for i := range e.Inputs {
		kind := map[bool]string{true: "category", false: "number"}[e.Inputs[i].Category()]
		fmt.Fprintf(&features, "    - {name: %s, type: %s}\n", e.Inputs[i].Name, kind)
	}
	output.WriteString(`{name: y, type: number, expression: "label"}`)
	if e.Link == imported.Logistic {
		output.Reset()
		output.WriteString(`{name: y, type: binary, expression: "label > 0.5"}`)
	}
	text := fmt.Sprintf(`
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: taken-over}
spec:
  sources: {train: {s3: {path: "s3://lake/rows/*.parquet"}, format: {type: parquet}}}
  input_features:
%s  output_features: [%s]
  model: {type: trees, from: %s}
`, features.String(), output.String(), imported.Reference("given", e))
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.Compile(spec, schema)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = plan.WithImported(e); err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
	a := fitted(t, plan, batch)
	a.SetParams(make([]float32, a.Model.Size()))
	parts, err := a.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	return b, batch, raw
}

// An imported model goes through fit, checkpoint and scoring as one of our own does,
// and says of each row what its library says.
func TestImportedModelsArePartOfTheArtifactAndScoreAsTheirLibrary(t *testing.T) {
	for _, name := range []string{"lightgbm-binary.txt", "lightgbm-integers.txt", "lightgbm-forest.txt", "lightgbm-fine.txt", "lightgbm-slope.txt", "xgboost-hist.json", "xgboost-exact.json"} {
		e, err := imported.Parse(name, importedtest.Model(t, name))
		if err != nil {
			t.Fatal(err)
		}
		b, batch, raw := takenOver(t, name, e)
		parts := encode(t, b)
		got, _ := score(t, b, pipeline.InTraining, batch)
		for i, row := range got {
			want := raw[i] * e.Slope
			if e.Link == imported.Logistic {
				want = 1 / (1 + math.Exp(-want))
			}
			have := row[len(row)-9].(float64) // probability, or score: before the eight of the origin
			if math.Abs(have-want) > 1e-6*max(1, math.Abs(want)) {
				t.Errorf("%s, row %d: %v, the library says %v", name, i, have, want)
				break
			}
		}
		// Another ensemble's trees do not go with these parts.
		other := *e
		other.Trees = other.Trees[1:]
		parts[PartImported] = other.Encode()
		if _, err := Decode(catalog.All(), parts); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), PartImported) {
			t.Errorf("%s with other trees: %v", name, err)
		}
	}
}

// Features that the model does not have, or lacks, are named.
func TestAnImportedModelWantsItsFeatures(t *testing.T) {
	e := &imported.Ensemble{Link: imported.Identity, Slope: 1, Inputs: []imported.Input{{Name: "distance", Cuts: []float64{3}}, {Name: "origin", Values: []string{"a"}}},
		Trees: []imported.Tree{{Splits: []imported.Split{{Left: []int{1, 2}, Yes: -1, No: -2}}, Values: []float64{1, 2}}}}
	for features, want := range map[string]string{
		"[{name: distance, type: number}, {name: origin, type: category}]":                                                                "",
		"[{name: distance, type: number}]":                                                                                                `reads a feature "origin"`,
		"[{name: distance, type: number}, {name: origin, type: category}, {name: ratio, type: number}]":                                   `no feature "ratio"`,
		"[{name: distance, type: category}, {name: origin, type: category}]":                                                              `"distance" is a category in the spec and a number in the model`,
		"[{name: distance, type: number, encoder: {type: none}, missing_value_strategy: fill_with_mean}, {name: origin, type: category}]": `"distance" has the encoder none`,
		"[{name: distanze, type: number, expression: distance}, {name: origin, type: category}]":                                          `no feature "distanze"`,
		"[{name: origin, type: category}, {name: distance, type: number, missing_value_strategy: fill_with_mean}]":                        "",
		"[{name: origin, type: category, most_common: 1}, {name: distance, type: number, expression: \"distance+1\"}]":                    "",
	} {
		spec, err := pipeline.Parse(catalog.All(), "test.yaml", fmt.Appendf(nil, `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: taken-over}
spec:
  sources: {train: {s3: {path: "s3://lake/rows/*.parquet"}, format: {type: parquet}}}
  input_features: %s
  output_features: [{name: delay, type: number}]
  model: {type: trees, from: given@0123456789abcdef}
`, features))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pipeline.Compile(spec, sourceColumns)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = plan.WithImported(e); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", features, err, want)
		}
	}
}
