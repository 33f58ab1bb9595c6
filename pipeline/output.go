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

// OutputColumns returns the columns that scoring adds after the user's, for a
// label of the given type, "binary" or "number". A cleaned column of one of
// these names could not be carried.
func OutputColumns(label string) []table.Column {
	return slices.Concat(answerColumns[label], originColumns)
}
