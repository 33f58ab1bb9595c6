package artifact

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/model"
)

// Weights are in one unit: what a standard deviation of a number changes, and what a
// value has beside the mean row, whatever the normalisation.
func TestWeightsCanBeCompared(t *testing.T) {
	a := trained(t, binary) // number 0 is standardised, number 1 is not
	weights := a.Weights()
	if !slices.IsSortedFunc(weights, func(x, y Weight) int { return cmp.Compare(math.Abs(y.Effect), math.Abs(x.Effect)) }) {
		t.Error("the strongest does not come first")
	}
	of := make(map[string]map[string]float64)
	for _, w := range weights {
		if of[w.Feature] == nil {
			of[w.Feature] = map[string]float64{}
		}
		of[w.Feature][w.Value] = w.Effect
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for _, f := range a.Transform.Features() {
		if f.Number != nil {
			v, _ := model.Find(a.Model, "number."+f.Name+".weight")
			near(f.Name, of[f.Name][""], float64(v.Of(a.Params)[0])*f.Number.Scale*f.Number.Statistics.Deviation())
			continue
		}
		mean, rows := 0.0, 0.0
		for i, value := range f.Category.Values {
			mean += float64(f.Category.Counts[i]) * of[f.Name][value]
			rows += float64(f.Category.Counts[i])
		}
		near("the mean row of "+f.Name, mean/rows, 0)
		v, _ := model.Find(a.Model, "category."+f.Name+".weight")
		values, params := f.Category.Values, v.Of(a.Params)
		near(f.Name+" between two values", of[f.Name][values[1]]-of[f.Name][values[0]], float64(params[2])-float64(params[1]))
	}
	if len(of) != 5 {
		t.Errorf("weights of %d features", len(of))
	}
}
