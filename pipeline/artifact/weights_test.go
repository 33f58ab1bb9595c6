package artifact

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/catalog"
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

// The strongest weights of a cross and of a hashed category come with the values that
// they are of, and there are not more of them than anybody reads.
func TestWeightsOfHashesHaveNames(t *testing.T) {
	a := trainedBy(t, strings.NewReplacer("  output_features:", "  crosses: [{all: pairs, buckets: 4096}]\n  output_features:",
		"origin,      type: category", "origin,      type: category, encoder: {type: hash}").Replace(document), binary)
	var cross string
	for _, c := range a.Transform.Crosses() {
		cross = c.Name
	}
	if cross == "" {
		t.Fatal("no cross")
	}
	v, _ := model.Find(a.Model, "category."+cross+".weight")
	for i := range v.Size() {
		v.Of(a.Params)[i] = float32(i)
	}
	count, named := 0, 0
	for _, w := range a.Weights() {
		if w.Feature == cross {
			if count++; strings.Contains(w.Value, " × ") {
				named++
			} else if !strings.HasPrefix(w.Value, "bucket ") {
				t.Errorf("a weight of %q", w.Value)
			}
		}
	}
	if count != maxHashed || named == 0 {
		t.Errorf("%d weights, %d of them with names", count, named)
	}
	if b, err := Decode(catalog.All(), encode(t, a)); err != nil || b.Transform.Hash() != a.Transform.Hash() {
		t.Errorf("the artifact is not decoded as it was: %v", err)
	}
}
