package feature

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Feature is the data of one fitted feature: all that turns a value into the
// content of its slots. Exactly one of Number, Bins, Periodic, Category,
// Hashed, Valued, List and Terms is set.
type Feature struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Column or Expression is where the values come from.
	Column     string `json:"column,omitempty"`
	Expression string `json:"expression,omitempty"`
	Encoder    string `json:"encoder"`
	// Missing is the missing_value_strategy.
	Missing string `json:"missing"`
	// Indicator: a number has a slot that says whether it is missing.
	Indicator bool      `json:"missing_indicator,omitempty"`
	Number    *Number   `json:"number,omitempty"`
	Periodic  *Circular `json:"periodic,omitempty"`
	Bins      *Binned   `json:"bins,omitempty"`
	Category  *Category `json:"category,omitempty"`
	Hashed    *Hashed   `json:"hashed,omitempty"`
	Valued    *Valued   `json:"valued,omitempty"`
	List      *List     `json:"list,omitempty"`
	Terms     *Terms    `json:"terms,omitempty"`
}

// kinds counts the kinds of data that are set.
func (f *Feature) kinds() (n int) {
	for _, set := range []bool{f.Number != nil, f.Periodic != nil, f.Bins != nil, f.Category != nil, f.Hashed != nil, f.Valued != nil, f.List != nil, f.Terms != nil} {
		if set {
			n++
		}
	}
	return n
}

// Number is the data of a number feature: a value x, or Fill where there is
// none, becomes (warp(x) - Shift) * Scale.
type Number struct {
	Normalization string  `json:"normalization"`
	Fill          float64 `json:"fill"`
	Shift         float64 `json:"shift"`
	Scale         float64 `json:"scale"`
	// Curve is what a normalisation has learnt of how it warps values, if it has.
	Curve []float64 `json:"curve,omitempty"`
	// Statistics are of the training rows, before the fill and normalisation.
	Statistics Moments `json:"statistics"`
}

// Converted returns how a weight w of numbers that were normalised as before says is that
// of numbers normalised as n says: it becomes w*factor, and w*offset is added to the bias.
// False where none is, since values are warped otherwise.
func (n *Number) Converted(before *Number) (factor, offset float64, ok bool) {
	if warps(n.Normalization) != warps(before.Normalization) || !slices.Equal(n.Curve, before.Curve) || before.Scale == 0 {
		return 0, 0, false
	}
	offset = before.Scale * (n.Shift - before.Shift)
	if n.Scale != 0 { // else its slot is 0
		factor = before.Scale / n.Scale
	}
	return factor, offset, finite(factor) && finite(offset)
}

// warps returns the name of a normalization that warps values, "" of another.
func warps(name string) string {
	for _, e := range Normalizations() {
		if n, ok := e.Options.(*Normalization); ok && e.Name == name && (n.Warp != nil || n.Curve != nil) {
			return name
		}
	}
	return ""
}

// Category is the data of a category feature: Values[i] has id i+1, every
// other value id 0.
type Category struct {
	// Fill is the value that a missing one counts as; nil where rows without a
	// value are dropped, or where training saw no value at all to fill with.
	Fill   *string  `json:"fill"`
	Values []string `json:"values"`
	Counts []int64  `json:"counts"`
	// Distinct counts the values of the training rows, those without an id
	// included, and Unknown the rows that had such a one.
	Distinct int64 `json:"distinct"`
	Unknown  int64 `json:"unknown"`
	Missing  int64 `json:"missing"`
}

// List is the data of a list feature: each element is a number by itself.
type List struct {
	Length int `json:"length"`
	// Missing counts the training rows without a list, and Other those whose list has
	// another length, which count as without one.
	Missing  int64    `json:"missing"`
	Other    int64    `json:"other"`
	Elements []Number `json:"elements"`
}

// Label is what training knows of the output feature.
type Label struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Column     string `json:"column,omitempty"`
	Expression string `json:"expression,omitempty"`
	// Statistics are of the training rows, Missing of those left out because
	// they have no label. A binary label counts as 0 or 1; of a category only Count
	// and Missing are known.
	Statistics Moments `json:"statistics"`
	// Classes are the values of a category that training rows have, in byte order, and
	// Counts how many have each.
	Classes []string `json:"classes,omitempty"`
	Counts  []int64  `json:"counts,omitempty"`
	// Constants are what the loss made of a sample of the labels.
	Constants []float64 `json:"constants,omitempty"`
}

// transformData is the canonical form of a Transform.
type transformData struct {
	Version  int         `json:"version"`
	Features []Feature   `json:"features"`
	Crosses  []CrossData `json:"crosses,omitempty"`
	Label    Label       `json:"label"`
}

// partialData is the form of a Fitter's Partial.
type partialData struct {
	Version  int              `json:"version"`
	Features []partialFeature `json:"features"`
	Label    Moments          `json:"label"`
	// Classes are those of a category label, and Labels a sample where the loss wants one.
	Classes *Counts `json:"classes,omitempty"`
	Labels  *Sample `json:"labels,omitempty"`
}

// partialFeature is the statistics of one feature in one shard.
type partialFeature struct {
	Name   string   `json:"name"`
	Number *Moments `json:"number,omitempty"`
	// Warped is the same of the values as the normalisation warps them.
	Warped *Moments `json:"warped,omitempty"`
	// Sample is of the values where the encoder wants one.
	Sample   *Sample `json:"sample,omitempty"`
	Category *Counts `json:"category,omitempty"`
	// Target is the labels by its values where the encoder wants them.
	Target *TargetSums  `json:"target,omitempty"`
	List   *ListMoments `json:"list,omitempty"`
	Terms  *TermCounts  `json:"terms,omitempty"`
}

// dataVersion is the version of both forms.
const dataVersion = 1

// decode reads strict JSON into v.
func decode(what string, data []byte, v any) error {
	if len(data) > MaxDataBytes {
		return &thalweg.Error{Op: "decode", Kind: thalweg.Exhausted, Subject: what, Err: fmt.Errorf("%d bytes", len(data))}
	}
	if err := thalweg.DecodeStrict(data, v); err != nil {
		return corrupt(what, err)
	}
	return nil
}

func corrupt(what string, err error) error {
	return &thalweg.Error{Op: "decode", Kind: thalweg.Corrupt, Subject: what, Err: err}
}

// describe returns a feature's data as far as the plan determines it.
func describe(f pipeline.Feature) Feature {
	return Feature{Name: f.Name, Type: f.Type, Column: f.Column, Expression: sourceOf(f).text(), Encoder: f.Options.Encoder.Name, Missing: strategy(f), Indicator: f.Options.MissingIndicator}
}

func describeLabel(l pipeline.Label) Label {
	return Label{Name: l.Name, Type: l.Type, Column: l.Column, Expression: sourceOfLabel(l).text()}
}
