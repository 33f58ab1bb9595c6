package artifact

import (
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// category is a label of fifty classes, the integers from -10 to 39.
const category = `{name: delay, type: category}`

// A scored row of a category says the likeliest class, its probability, and those of
// all classes in their order; one of which nothing is known gets the classes' shares.
func TestScoredRowsHaveTheProbabilitiesOfAllClasses(t *testing.T) {
	a := trained(t, category)
	classes := a.Answer().Classes
	if len(classes) != 50 || classes[0] != "-1" || !slices.IsSorted(classes) {
		t.Fatalf("classes %q", classes)
	}
	for _, decoded := range []bool{false, true} {
		if decoded {
			var err error
			if a, err = Decode(catalog.All(), encode(t, a)); err != nil {
				t.Fatal(err)
			}
		}
		rows, _ := score(t, a, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0,
			[]any{int64(0), nil, int64(4), 0.5, " a1"}, []any{nil, int64(20), int64(7), 1.5, nil}))
		if len(rows) != 2 {
			t.Fatalf("%d rows", len(rows))
		}
		for i, row := range rows {
			all := row[7].([]any)
			best, sum := 0, 0.0
			for k, p := range all {
				if p.(float64) > all[best].(float64) {
					best = k
				}
				sum += p.(float64)
			}
			if len(all) != 50 || row[5] != classes[best] || row[6] != all[best] || sum < 0.99999 || sum > 1.00001 {
				t.Errorf("row %d: %v, the likeliest is %s of %v", i, row[5:8], classes[best], all[best])
			}
		}
	}
	scorer, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range scorer.constant {
		if p != 1.0/50 {
			t.Errorf("a row of which nothing is known: %v", scorer.constant)
		}
	}
}

// Labels of several classes: more than the bound fail the fit and say what to do.
func TestAColumnOfVeryManyValuesIsNoCategory(t *testing.T) {
	columns := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}, {Name: "id", Type: table.Int64}}}
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(`
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: many}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: x, type: number}]
  output_features: [{name: id, type: category}]
`))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.Compile(spec, columns)
	if err != nil {
		t.Fatal(err)
	}
	for n, fits := range map[int]bool{feature.MaxClasses: true, feature.MaxClasses + 1: false} {
		var rows [][]any
		for i := range n {
			rows = append(rows, []any{float64(i), int64(i * 7)})
		}
		fitter := feature.NewFitter(plan)
		err := fitter.Observe(tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...), make([]uint8, n))
		var partial []byte
		if err == nil {
			partial, err = fitter.Partial()
		}
		if err == nil {
			_, err = feature.Finish(plan, [][]byte{partial})
		}
		if fits != (err == nil) || err != nil && !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("%d classes: %v", n, err)
		}
	}
}
