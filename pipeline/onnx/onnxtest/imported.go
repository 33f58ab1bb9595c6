package onnxtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// importedCases are trees of other libraries, with rows that these have scored.
func importedCases(t testing.TB) (all []Case) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"lightgbm-binary.txt", "lightgbm-forest.txt", "lightgbm-slope.txt", "xgboost-hist.json"} {
		e, err := imported.Parse(name, importedtest.Model(t, name))
		check(err)
		columns, sums := importedtest.Sample(t, name)
		rows := make([][]any, len(sums))
		for i := range rows {
			rows[i] = []any{i%2 == 0, float64(i)}
		}
		schema := table.Schema{Columns: []table.Column{{Name: "late", Type: table.Bool}, {Name: "y", Type: table.Float64}}}
		var features strings.Builder
		for _, column := range slices.Sorted(maps.Keys(columns)) {
			c := table.Column{Name: column, Type: table.Float64, Nullable: true}
			for i, v := range columns[column] {
				if _, ok := v.(string); ok {
					c.Type = table.String
				}
				rows[i] = append(rows[i], v)
			}
			schema.Columns = append(schema.Columns, c)
		}
		for i := range e.Inputs {
			kind := map[bool]string{true: "category", false: "number"}[e.Inputs[i].Category()]
			fmt.Fprintf(&features, "    - {name: %s, type: %s}\n", e.Inputs[i].Name, kind)
		}
		output := map[bool]string{true: "binary", false: "number"}[e.Link == imported.Logistic]
		spec, err := pipeline.Parse(catalog.All(), name, []byte(document(features.String(), outputs[output], "{type: trees, from: "+imported.Reference("given", e)+"}")))
		check(err)
		plan, err := pipeline.Compile(spec, schema)
		check(err)
		plan, err = plan.WithImported(e)
		check(err)
		batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
		fitter := feature.NewFitter(plan)
		check(fitter.Observe(batch, make([]uint8, len(rows))))
		partial, err := fitter.Partial()
		check(err)
		transform, err := feature.Finish(plan, [][]byte{partial})
		check(err)
		a, err := artifact.New(plan, transform)
		check(err)
		a.SetParams(make([]float32, a.Model.Size()))
		all = append(all, Case{Name: "imported " + name, Artifact: a, Exact: true, Rows: batch})
	}
	return all
}
