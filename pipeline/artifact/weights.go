package artifact

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Weight is what a feature has to say, in log-odds of a binary label and in the
// unit of a number.
type Weight struct {
	Feature string `json:"feature"`
	// Value is a category's; empty of a number. Of a hashed one and of a cross it is one
	// that the weight is of, or "bucket 12" where none is known; of a text a term.
	Value string `json:"value,omitempty"`
	// Effect is that of one standard deviation of a number, or of the value beside
	// the mean over the training rows: so it can be compared whatever the feature's
	// type and unit. Hashed, it is beside a value that training never met; of a term,
	// what a text of nothing else has to say.
	Effect float64 `json:"effect"`
}

// Weights returns the weights of a model that has one for each number and value, the
// strongest first; none of another model.
func (a *Artifact) Weights() (out []Weight) {
	if a.Model.Deep() {
		return nil
	}
	views := make(map[string]model.View)
	for _, v := range a.Model.Views() {
		views[v.Name] = v
	}
	for i, f := range a.Transform.Features() {
		if v, ok := views["number."+f.Name+".weight"]; ok && f.Number != nil && v.Size() == 1 {
			out = append(out, Weight{Feature: f.Name, Effect: float64(v.Of(a.Params)[0]) * a.Transform.Spread(i)})
		}
		out = append(out, plainWeights(&f, func(slot string) (float64, bool) {
			v, ok := views["number."+slot+".weight"]
			if !ok || v.Size() != 1 {
				return 0, false
			}
			return float64(v.Of(a.Params)[0]), true
		})...)
		if v, ok := views["terms."+f.Name+".weight"]; ok && v.Size() == f.Terms.Buckets {
			out = append(out, hashedWeights(f.Name, v.Of(a.Params), func(ids map[uint32]string) { a.Transform.TermNames(i, ids) })...)
		}
		v, ok := views["category."+f.Name+".weight"]
		if ok && f.Hashed != nil && v.Size() == f.Hashed.Buckets {
			out = append(out, hashedWeights(f.Name, v.Of(a.Params), func(ids map[uint32]string) { a.Transform.HashedNames(i, ids) })...)
		}
		if !ok || f.Category == nil || v.Size() != len(f.Category.Values)+1 {
			continue
		}
		weights := v.Of(a.Params)
		mean := meanWeight(f.Category, weights, 1, 0)
		for k, value := range f.Category.Values {
			out = append(out, Weight{f.Name, value, float64(weights[k+1]) - mean})
		}
	}
	for i, c := range a.Transform.Crosses() {
		if v, ok := views["category."+c.Name+".weight"]; ok && v.Size() == c.Buckets {
			out = append(out, hashedWeights(c.Name, v.Of(a.Params), func(ids map[uint32]string) { a.Transform.CrossNames(i, ids) })...)
		}
	}
	slices.SortStableFunc(out, func(a, b Weight) int { return cmp.Compare(math.Abs(b.Effect), math.Abs(a.Effect)) })
	return out
}

// plainWeights returns the effects of a feature's other number slots: of a category that
// is encoded as a number, that of one standard deviation; of a periodic number, that of one
// standard deviation of values all around the period; of a missing indicator, that of a
// missing value against the mean.
func plainWeights(f *feature.Feature, weight func(slot string) (float64, bool)) (out []Weight) {
	slots := f.Plain()
	if w, ok := weight(f.Name); ok && f.Valued != nil && f.Valued.Scale != 0 {
		out = append(out, Weight{Feature: f.Name, Effect: w}) // the slot has deviation 1
	}
	if f.Periodic != nil {
		sin, ok := weight(slots[0])
		cos, also := weight(slots[1])
		if ok && also {
			out = append(out, Weight{Feature: f.Name, Effect: math.Hypot(sin, cos) / math.Sqrt2})
		}
		slots = slots[2:]
	}
	for _, slot := range slots {
		if w, ok := weight(slot); ok {
			out = append(out, Weight{f.Name, "missing", w * (1 - f.Missed())})
		}
	}
	return out
}

// maxHashed is of how many weights of a hashed feature Weights tells, at most.
const maxHashed = 1000

// hashedWeights returns the strongest of the weights of buckets, by the names that
// name gives the ids.
func hashedWeights(feature string, weights []float32, name func(ids map[uint32]string)) (out []Weight) {
	effect := func(id uint32) float64 { return math.Abs(float64(weights[id])) }
	strongest := func(ids []uint32) []uint32 {
		slices.SortStableFunc(ids, func(a, b uint32) int { return cmp.Compare(effect(b), effect(a)) })
		return ids[:min(len(ids), maxHashed)]
	}
	var ids []uint32
	least := 0.0
	for id := range uint32(len(weights)) {
		if effect(id) > least {
			ids = append(ids, id)
		}
		if len(ids) == 2*maxHashed {
			ids = strongest(ids)
			least = effect(ids[maxHashed-1])
		}
	}
	names := make(map[uint32]string)
	ids = strongest(ids)
	for _, id := range ids {
		names[id] = fmt.Sprint("bucket ", id)
	}
	name(names)
	for _, id := range ids {
		out = append(out, Weight{feature, names[id], float64(weights[id])})
	}
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
