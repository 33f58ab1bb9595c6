// Package feature turns cleaned rows into the blocks that models consume. A
// Fitter learns the statistics of each feature from the training rows of one
// shard, Finish merges the shards' partials in shard order into a Transform,
// and the Transform, plain data with a content hash, is applied to batches in
// training and to events in scoring alike.
//
// A number is missing where it is null, NaN or infinite, a category where it is
// null. What becomes of it is the feature's missing_value_strategy. Numbers are
// normalised in float64, rounded once to float32, and cut to ±MaxNumber; a
// category becomes an id: 0 for a value that training gave none, then 1, 2, …
// by falling count, equal counts by value. A list becomes an array of fixed length,
// each element of it a number by itself; a list of another length is missing.
package feature

import (
	"cmp"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The types of features.
const (
	numberType   = "number"
	categoryType = "category"
	listType     = "list"
	textType     = "text"
	setType      = "set"
)

// The strategies for missing values.
const (
	fillWithMean   = "fill_with_mean"
	fillWithMedian = "fill_with_median"
	fillWithConst  = "fill_with_const"
	fillWithMode   = "fill_with_mode"
	dropRow        = "drop_row"
	ownBin         = "own_bin"
)

const (
	// MaxNumber bounds a number slot: the product of two slots, and so a squared
	// gradient, is still finite in float32.
	MaxNumber = 1e18
	// MaxDistinct bounds the values of one category feature, in a shard and in
	// all: past a million one-hot ids a linear model of them is no longer small,
	// and the partials of a fit no longer fit a worker's memory.
	MaxDistinct = 1 << 20
	// MaxDistinctBytes bounds the text of those values.
	MaxDistinctBytes = 64 << 20
	// MaxDataBytes bounds a partial or a transform that is decoded: a thousand
	// features, or several at MaxDistinctBytes with every byte escaped.
	MaxDataBytes = 1 << 30
)

// source is where a feature or the label reads its values.
type source struct {
	what    string // "feature hour", for errors
	column  string
	program *expression.Program
}

func sourceOf(f pipeline.Feature) source {
	return source{what: "feature " + f.Name, column: f.Column, program: f.Expression}
}

func sourceOfLabel(l pipeline.Label) source {
	return source{what: "label " + l.Name, column: l.Column, program: l.Expression}
}

// text returns the expression, or "".
func (s source) text() string {
	if s.program == nil {
		return ""
	}
	return s.program.Source()
}

// read returns the values for each row of batch; the caller releases them.
func (s source) read(batch arrow.Record) (arrow.Array, error) {
	for _, i := range batch.Schema().FieldIndices(s.prepared()) { // Fields copies them all
		a := batch.Column(i)
		a.Retain()
		return a, nil
	}
	if s.program != nil {
		a, err := s.program.Eval(batch)
		if err != nil {
			return nil, &thalweg.Error{Op: "evaluate", Kind: thalweg.KindOf(err), Subject: s.what, Err: err}
		}
		return a, nil
	}
	return nil, &thalweg.Error{Op: "read", Kind: thalweg.Invalid, Subject: s.what,
		Err: fmt.Errorf("column %s is not in the batch", s.column)}
}

// unreadable reports values of a type that a feature or label cannot have.
func unreadable(what string, a arrow.Array) error {
	return &thalweg.Error{Op: "read", Kind: thalweg.Invalid, Subject: what, Err: fmt.Errorf("%s is not a type for it", arrowtype.Name(a.DataType()))}
}

// strategy returns what becomes of a feature's missing values.
func strategy(f pipeline.Feature) string {
	if f.Type == categoryType || cutOf(f) != nil {
		return cmp.Or(f.Options.MissingValueStrategy, fillWithConst)
	}
	return cmp.Or(f.Options.MissingValueStrategy, fillWithMean)
}

// missingIn marks the rows in which a feature of the given type, and, if it is of
// lists, length has no value.
func missingIn(featureType string, length int, a arrow.Array) table.Mask {
	if featureType == listType {
		return missingLists(a, length)
	}
	m := table.Valid(a).Not()
	if f, ok := a.(*array.Float64); ok && featureType == numberType {
		for i, v := range f.Float64Values() {
			if !finite(v) {
				m.Set(i)
			}
		}
	}
	return m
}

// finite does not subtract x from itself: of a product that leaves what it was rounded by,
// where the processor fuses.
func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }
