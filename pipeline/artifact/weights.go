package artifact

import (
	"cmp"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Weight is what a feature has to say, in log-odds of a binary label and in the
// unit of a number.
type Weight struct {
	Feature string `json:"feature"`
	// Value is a category's; empty of a number.
	Value string `json:"value,omitempty"`
	// Effect is that of one standard deviation of a number, or of the value beside
	// the mean over the training rows: so it can be compared whatever the feature's
	// type and unit.
	Effect float64 `json:"effect"`
}

// Weights returns the weights of a model that has one for each number and value, the
// strongest first; none of another model.
func (a *Artifact) Weights() (out []Weight) {
	views := make(map[string]model.View)
	for _, v := range a.Model.Views() {
		views[v.Name] = v
	}
	for i, f := range a.Transform.Features() {
		if v, ok := views["number."+f.Name+".weight"]; ok && f.Number != nil && v.Size() == 1 {
			out = append(out, Weight{Feature: f.Name, Effect: float64(v.Of(a.Params)[0]) * a.Transform.Spread(i)})
		}
		v, ok := views["category."+f.Name+".weight"]
		if !ok || f.Category == nil || v.Size() != len(f.Category.Values)+1 {
			continue
		}
		weights := v.Of(a.Params)
		mean := meanWeight(f.Category, weights, 1, 0)
		for k, value := range f.Category.Values {
			out = append(out, Weight{f.Name, value, float64(weights[k+1]) - mean})
		}
	}
	slices.SortStableFunc(out, func(a, b Weight) int { return cmp.Compare(math.Abs(b.Effect), math.Abs(a.Effect)) })
	return out
}

// meanWeight is the mean over the training rows of the weights of a category's
// values, of which each has width and this is number k.
func meanWeight(c *feature.Category, weights []float32, width, k int) float64 {
	sum, rows := float64(float64(c.Unknown)*float64(weights[k])), float64(c.Unknown)
	for i, n := range c.Counts {
		sum += float64(float64(n) * float64(weights[(i+1)*width+k]))
		rows += float64(n)
	}
	if rows == 0 {
		return 0
	}
	return sum / rows
}
