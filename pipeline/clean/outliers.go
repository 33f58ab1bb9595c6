package clean

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Outliers treats numbers that lie apart from most. The bounds come of the training
// rows, as the steps before that need not learn leave them, and are part of the
// version: events are held against the same.
type Outliers struct {
	// Column is the one to treat, of numbers.
	Column string `yaml:"column" json:"column" jsonschema:"minLength=1"`
	// Method is how the bounds come of the training rows. zscore: the mean, less or more
	// threshold standard deviations. iqr: the quartiles, less or more threshold times
	// the range between them. mad: the median, less or more threshold times the median
	// distance from it, which is divided by 0.6745 to be the standard deviation where
	// values are normal. quantile: the quantiles threshold and 1 - threshold. Bounds that
	// leave one value fail the run. Quantiles are exact of up to 32,768 different values,
	// and of more to about a thousandth of the value.
	Method string `yaml:"method" json:"method" jsonschema:"enum=zscore,enum=iqr,enum=mad,enum=quantile"`
	// Threshold is how far the bounds are. Default 3 for zscore, 1.5 for iqr, 3.5 for
	// mad, 0.01 for quantile, where it is below 0.5.
	Threshold float64 `yaml:"threshold,omitempty" json:"threshold,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Action is what becomes of a value out of bounds: the bound, null, or its row is
	// removed.
	Action              string `yaml:"action" json:"action" jsonschema:"enum=clip,enum=null,enum=drop"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// thresholds are the defaults.
var thresholds = map[string]float64{"zscore": 3, "iqr": 1.5, "mad": 3.5, "quantile": 0.01}

const (
	clip   = "clip"
	toNull = "null"
	toDrop = "drop"
)

// Learns implements pipeline.LearningSpec.
func (s *Outliers) Learns() bool { return true }

// Defaults implements pipeline.Defaulter: an event shall not vanish unless the
// spec says so.
func (s *Outliers) Defaults(at pipeline.Place) {
	pipeline.Default(at, "threshold", &s.Threshold, thresholds[s.Method])
	if s.Action == toDrop {
		pipeline.DefaultList(at, "apply_to", &s.ApplyTo, pipeline.InTraining)
	}
}

// Check implements pipeline.Checker.
func (s *Outliers) Check(at pipeline.Place) {
	if s.Method == "quantile" && s.Threshold >= 0.5 {
		at.Problem("threshold", "0.01 bounds values by the quantiles 0.01 and 0.99", "a quantile is below 0.5 here")
	}
}

// Bind implements pipeline.StepSpec.
func (s *Outliers) Bind(at *pipeline.Columns) pipeline.Op {
	column, ok := at.Lookup("column", s.Column)
	if !ok {
		return nil
	}
	if column.Type != table.Int64 && column.Type != table.Float64 {
		at.Problem("column", "", "column %s is %s: only numbers have outliers", s.Column, column.Type)
		return nil
	}
	switch s.Action {
	case toDrop:
		at.Remove("action", []string{s.Column})
	case toNull:
		column.Nullable = true
		at.Set(column)
		at.Learns(s.Column)
	default:
		at.Learns(s.Column)
	}
	return &outlierLearner{step: at.Step(), spec: s, column: column}
}

// outlierLearner learns the bounds.
type outlierLearner struct {
	unlearnt
	step   string
	spec   *Outliers
	column table.Column
}

// Observer implements pipeline.Learner.
func (l *outlierLearner) Observer() pipeline.Observer {
	moments := l.spec.Method == "zscore"
	return &observer{columns: []*observed{newObserved(l.column, moments, !moments)}}
}

// bounds are the least and the greatest value that is no outlier.
type bounds struct {
	Lower *float64 `json:"lower"`
	Upper *float64 `json:"upper"`
}

// normalMAD is the median distance from the median of normal values whose standard
// deviation is 1.
const normalMAD = 0.6744897501960817

// Finish implements pipeline.Learner.
func (l *outlierLearner) Finish(partials [][]byte) (json.RawMessage, error) {
	merged, err := mergeObserved(l.Observer().(*observer), partials)
	if err != nil {
		return nil, err
	}
	of := merged.columns[0]
	if of.empty() {
		return nil, &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + l.spec.Column, Hint: "leave the step out",
			Err: fmt.Errorf("has no value in the training rows that bounds could come of")}
	}
	var lower, upper, far float64
	switch l.spec.Method {
	case "zscore":
		lower = of.Moments.Mean()
		upper, far = lower, of.Moments.Deviation()
	case "iqr":
		lower, upper = of.Quantiles.At(0.25), of.Quantiles.At(0.75)
		far = upper - lower
	case "mad":
		lower = of.Quantiles.At(0.5)
		upper, far = lower, of.Quantiles.MedianDeviation()/normalMAD
	case "quantile":
		lower, upper = of.Quantiles.At(l.spec.Threshold), of.Quantiles.At(1-l.spec.Threshold)
	}
	if lower == upper && far == 0 && l.spec.Method != "zscore" && of.Quantiles.At(0) < of.Quantiles.At(1) {
		return nil, &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + l.spec.Column, Hint: "leave the step out, or write another method",
			Err: fmt.Errorf("has so many equal values among the training rows that every other one is an outlier by %s: both bounds are %v", l.spec.Method, lower)}
	}
	lower = max(lower-float64(l.spec.Threshold*far), -math.MaxFloat64)
	upper = min(upper+float64(l.spec.Threshold*far), math.MaxFloat64)
	return json.Marshal(bounds{&lower, &upper})
}

// With implements pipeline.Learner.
func (l *outlierLearner) With(learnt json.RawMessage) (pipeline.Op, error) {
	var b bounds
	if err := json.Unmarshal(learnt, &b); err != nil {
		return nil, err
	}
	if b.Lower == nil || b.Upper == nil || *b.Lower > *b.Upper {
		return nil, fmt.Errorf("these are no bounds: %s", learnt)
	}
	op := &outliers{name: l.step, column: l.spec.Column, action: l.spec.Action, lower: *b.Lower, upper: *b.Upper}
	// The bounds among whole numbers; where there is none between them, the nearest.
	lower, upper := math.Ceil(op.lower), math.Floor(op.upper)
	if lower > upper {
		lower = math.Round((op.lower + op.upper) / 2)
		upper = lower
	}
	op.least, op.most = nearest(lower), nearest(upper)
	return op, nil
}

// outliers treats the values of a column that are out of bounds; a missing one is
// not.
type outliers struct {
	name         string
	column       string
	action       string
	lower, upper float64
	least, most  int64 // the bounds of an int64 column
}

// Apply implements pipeline.Op. It counts the values changed or the rows removed.
func (o *outliers) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	i, err := column(batch, o.column)
	if err != nil {
		return nil, err
	}
	field, a := batch.Schema().Field(i), batch.Column(i)
	within := table.Present(a)
	switch a := a.(type) {
	case *array.Int64:
		mark(within, a.Int64Values(), o.least, o.most)
	case *array.Float64:
		mark(within, a.Float64Values(), o.lower, o.upper)
	default:
		return nil, invalid(o.column, "has no numbers")
	}
	within.Or(table.Present(a).Not())
	if o.action == toDrop {
		return drop(mem, batch, within, rep, o.name, fmt.Sprintf("%s is not within %v to %v", o.column, o.lower, o.upper))
	}
	n := int64(within.Rows - within.Count())
	what := o.name + " " + o.column
	if o.action == toNull {
		what += " to null"
		field.Nullable = true
	}
	rep.Change(what, n)
	if n == 0 {
		a.Retain()
		return setColumn(batch, field, a), nil
	}
	valid := table.Valid(a)
	if o.action == toNull {
		valid.And(within)
	}
	switch c := a.(type) {
	case *array.Int64:
		a = int64Column(mem, clipped(c.Int64Values(), within, o.least, o.most), valid)
	case *array.Float64:
		a = float64Column(mem, clipped(c.Float64Values(), within, o.lower, o.upper), valid)
	}
	return setColumn(batch, field, a), nil
}

// mark keeps the rows marked whose values are in bounds.
func mark[T int64 | float64](rows table.Mask, values []T, lower, upper T) {
	for i, v := range values {
		if v < lower || v > upper {
			rows.Clear(i)
		}
	}
}

// clipped returns values with a bound where they are out of bounds.
func clipped[T int64 | float64](values []T, within table.Mask, lower, upper T) []T {
	out := make([]T, len(values))
	for i, v := range values {
		if out[i] = v; !within.Has(i) {
			out[i] = min(max(v, lower), upper)
		}
	}
	return out
}
