package clean

import (
	"context"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Balance makes the values of a column as frequent as one another among the training rows,
// in training only; rows of validation and test stay as they are, so that a version is judged
// by rows as they come. It is the last step: what balances is known once all rows are cleaned
// and split.
type Balance struct {
	// By is the column, a string, a whole number or a bool of at most 1,000 values: the
	// label's, one derived of it, or another. Rows without a value stay as they are.
	By string `yaml:"by" json:"by" jsonschema:"minLength=1" example:"origin"`
	// Method is weights, by which the loss of a row of value v counts rows/(values * rows of v)
	// times, scikit-learn's class_weight balanced: each value weighs as much as another, the
	// mean weight is 1, and no row is left out or repeated. Rows without a value weigh 1. Or it
	// is downsample, which draws of each value as many rows as the least frequent has, or
	// upsample, which repeats rows of each value until they are as many as the most
	// frequent has, a row at most 1,000 times. Which rows, and how often, the hash of the
	// trainer's seed, an object's key without its extension and the row in it says, so that
	// numbers are met on average and a row's luck depends on no other row.
	Method              string `yaml:"method" json:"method" jsonschema:"enum=weights,enum=downsample,enum=upsample"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Balances implements pipeline.BalancingSpec.
func (s *Balance) Balances() string { return s.Method }

// Defaults implements pipeline.Defaulter.
func (s *Balance) Defaults(at pipeline.Place) {
	pipeline.DefaultList(at, "apply_to", &s.ApplyTo, pipeline.InTraining)
}

// Check implements pipeline.Checker.
func (s *Balance) Check(at pipeline.Place) { s.TrainingOnly(at, "balance") }

// Bind implements pipeline.StepSpec.
func (s *Balance) Bind(at *pipeline.Columns) pipeline.Op {
	column, ok := at.Lookup("by", s.By)
	if types := []table.Type{table.String, table.Int64, table.Bool}; ok && !slices.Contains(types, column.Type) {
		at.Problem("by", "derive a string, int64 or bool of it", "column %s is %s: rows are balanced by few different values", s.By, column.Type)
	}
	if !at.Last() {
		at.Problem("", "put it last", "rows are balanced once all other steps have cleaned them")
	}
	return &balance{pipeline.Balance{Step: at.Step(), By: s.By, Method: s.Method}}
}

type balance struct{ of pipeline.Balance }

// Balance implements pipeline.Balancing.
func (o *balance) Balance() pipeline.Balance { return o.of }

// Apply implements pipeline.Op: of which split a row is, is not known yet.
func (*balance) Apply(_ context.Context, _ memory.Allocator, batch arrow.Record, _ *pipeline.Report) (arrow.Record, error) {
	batch.Retain()
	return batch, nil
}
