package engine

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/model"
)

// ScoreColumn is the column of scored rows that has all outputs of a model whose answer is of
// a type.
func ScoreColumn(answer string) string {
	switch answer {
	case model.Binary:
		return "probability"
	case model.Category:
		return "probabilities"
	case model.Quantiles:
		return "quantiles"
	}
	return "score"
}

// Scores are the outputs of a model in scored rows.
type Scores struct {
	values []float64
	lists  *array.List // nil: one output a row
}

// ScoresOf returns those in a column that ScoreColumn names.
func ScoresOf(rows arrow.Record, column string) (s Scores, err error) {
	ok := false
	for _, i := range rows.Schema().FieldIndices(column) {
		of := rows.Column(i)
		if s.lists, ok = of.(*array.List); ok {
			of = s.lists.ListValues()
		}
		var values *array.Float64
		if values, ok = of.(*array.Float64); ok {
			s.values = values.Float64Values()
		}
	}
	if !ok {
		err = &thalweg.Error{Op: "read scores", Kind: thalweg.Corrupt, Subject: "column " + column, Hint: "scored rows have numbers there"}
	}
	return s, err
}

// Of returns the outputs of a row, which stay the batch's.
func (s Scores) Of(row int) []float64 {
	from, to := int64(row), int64(row)+1
	if s.lists != nil {
		from, to = s.lists.ValueOffsets(row)
	}
	return s.values[from:to]
}
