package pipeline

import (
	"math"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Answer is what a model says of a row.
type Answer struct {
	// Type is that of the label, binary (the probability of true), number or count (the
	// value) or category (the probability of each class), unless the loss says something
	// else: margin (above 0 where a binary label is true) or quantiles (of a number).
	Type string
	// Threshold is the probability from which a binary answer is true.
	Threshold float64 `json:",omitempty"`
	// Classes are the names of a category's, in the order of their probabilities.
	Classes []string `json:",omitempty"`
	// Levels are those of quantiles.
	Levels []float64 `json:",omitempty"`
}

// Middle is the quantile that stands for all: the one whose level is nearest to 0.5.
func (a *Answer) Middle() int {
	best := 0
	for k, level := range a.Levels {
		if math.Abs(level-0.5) < math.Abs(a.Levels[best]-0.5) {
			best = k
		}
	}
	return best
}

// Judged is options of a loss that another validation metric suits than the first of
// its answers; "" where none does.
type Judged interface{ ValidationMetric() string }

// Weighing is options of a loss that can weigh rows that are true, and reports whether
// it does.
type Weighing interface{ Weighs() bool }

// Sampled is options of a loss that must know more of the labels than their mean: it
// makes constants of a sorted sample of those of the training rows, and gets these
// when it is made.
type Sampled interface {
	Constants(sorted []float64) []float64
}

// Answering is options of a loss by which a model does not answer with the type of
// its label.
type Answering interface{ Answers() string }

// decodeShort implements shortForm: the probability.
func (t *Threshold) decodeShort(d *decoder, n ast.Node, path string) bool {
	if isMapping(n) || isNull(n) {
		return false
	}
	d.value(n, path+".value", reflect.ValueOf(&t.Value).Elem())
	return true
}

// short implements shortened.
func (t Threshold) short() (reflect.Value, bool) { return reflect.ValueOf(t.Value), t.Optimize == "" }

// answer returns the type of what a model says.
func (o *OutputFeature) answer() string {
	if l, ok := o.Loss.Options.(Answering); ok {
		return l.Answers()
	}
	return o.Type
}

// answerColumns are the columns that a type of answer adds to a scored row,
// originColumns those that say where the row came from and what scored
// it.
var (
	answerColumns = map[string][]table.Column{
		"binary":    {{Name: "prediction", Type: table.Bool}, {Name: "probability", Type: table.Float64}},
		"number":    {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
		"margin":    {{Name: "prediction", Type: table.Bool}, {Name: "score", Type: table.Float64}},
		"count":     {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
		"quantiles": {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}, {Name: "quantiles", Type: table.Float64List}},
		"category": {{Name: "prediction", Type: table.String}, {Name: "probability", Type: table.Float64},
			{Name: "probabilities", Type: table.Float64List}},
	}
	originColumns = []table.Column{
		{Name: "_topic", Type: table.String},
		{Name: "_partition", Type: table.Int64},
		{Name: "_offset", Type: table.Int64},
		{Name: "_model_version", Type: table.Int64},
		{Name: "_transform_hash", Type: table.String},
		{Name: "_spec_generation", Type: table.Int64},
		{Name: "_scored_at", Type: table.Timestamp},
		{Name: "_replay", Type: table.String, Nullable: true},
	}
	// datasetColumns are the same of rows of a dataset. There is no clock in them, so that
	// rows scored again are the same ones.
	datasetColumns = []table.Column{
		{Name: "_object", Type: table.String},
		{Name: "_row", Type: table.Int64},
		{Name: "_model_version", Type: table.Int64},
		{Name: "_transform_hash", Type: table.String},
	}
)

// splitColumn is the one that a spec asks for.
var splitColumn = table.Column{Name: "_split", Type: table.String}

// OutputColumns returns the columns that scoring adds after the user's, for an
// answer of the given type, with the split or without. A cleaned column of one of
// these names could not be carried.
func OutputColumns(answer string, split bool) []table.Column {
	return outputColumns(answer, split, originColumns)
}

// DatasetColumns returns the columns that scoring adds to the rows of a dataset.
func DatasetColumns(answer string, split bool) []table.Column {
	return outputColumns(answer, split, datasetColumns)
}

func outputColumns(answer string, split bool, origin []table.Column) []table.Column {
	out := slices.Concat(answerColumns[answer], origin)
	if split {
		out = append(out, splitColumn)
	}
	return out
}

// SaysSplit reports whether scored rows say which split they would be in.
func (s *Spec) SaysSplit() bool { return s.Spec.Scoring != nil && s.Spec.Scoring.OutputColumns.Split }
