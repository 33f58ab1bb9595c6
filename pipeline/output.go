package pipeline

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
)

// answerColumns are the columns that a model of a label type adds to a scored
// row, originColumns those that say where the row came from and what scored
// it.
var (
	answerColumns = map[string][]table.Column{
		"binary": {{Name: "prediction", Type: table.Bool}, {Name: "probability", Type: table.Float64}},
		"number": {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
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
)

// splitColumn is the one that a spec asks for.
var splitColumn = table.Column{Name: "_split", Type: table.String}

// OutputColumns returns the columns that scoring adds after the user's, for a
// label of the given type, "binary" or "number", with the split or without. A
// cleaned column of one of these names could not be carried.
func OutputColumns(label string, split bool) []table.Column {
	out := slices.Concat(answerColumns[label], originColumns)
	if split {
		out = append(out, splitColumn)
	}
	return out
}

// SaysSplit reports whether scored rows say which split they would be in.
func (s *Spec) SaysSplit() bool { return s.Spec.Scoring != nil && s.Spec.Scoring.OutputColumns.Split }
