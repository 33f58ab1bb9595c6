package clean

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fillLearner is a fill by what the training rows say of its columns.
type fillLearner struct {
	unlearnt
	step     string
	strategy string
	columns  []table.Column
}

// Observer implements pipeline.Learner.
func (l *fillLearner) Observer() pipeline.Observer {
	o := new(observer)
	for _, c := range l.columns {
		o.columns = append(o.columns, newObserved(c, l.strategy == fillWithMean, l.strategy == fillWithMedian))
	}
	return o
}

// Finish implements pipeline.Learner: it learns a value for each column, in the form
// that the column's type has in JSON.
func (l *fillLearner) Finish(partials [][]byte) (json.RawMessage, error) {
	merged, err := mergeObserved(l.Observer().(*observer), partials)
	if err != nil {
		return nil, err
	}
	learnt := make(map[string]any)
	for i, c := range l.columns {
		of := merged.columns[i]
		var number float64
		switch {
		case of.empty():
			return nil, &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + c.Name, Hint: "use fill_with_const, or leave the column out",
				Err: fmt.Errorf("has no value in the training rows that others could be filled with")}
		case of.Moments != nil:
			number = of.Moments.Mean()
		case of.Quantiles != nil:
			number = of.Quantiles.At(0.5)
		default:
			if learnt[c.Name], err = of.Counts.mode(c.Type); err != nil {
				return nil, &thalweg.Error{Kind: thalweg.KindOf(err), Subject: "column " + c.Name, Err: err}
			}
			continue
		}
		learnt[c.Name] = number
		if c.Type == table.Int64 {
			learnt[c.Name] = nearest(math.Round(number))
		}
	}
	return json.Marshal(learnt)
}

// nearest returns the int64 next to a whole number.
func nearest(v float64) int64 {
	switch {
	case v >= 1<<63:
		return math.MaxInt64
	case v < -1<<63:
		return math.MinInt64
	}
	return int64(v)
}

// With implements pipeline.Learner.
func (l *fillLearner) With(learnt json.RawMessage) (pipeline.Op, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(learnt, &values); err != nil {
		return nil, err
	}
	if len(values) != len(l.columns) {
		return nil, fmt.Errorf("%d values, not %d", len(values), len(l.columns))
	}
	op := &fill{name: l.step, values: make(map[string]any)}
	for _, c := range l.columns {
		v, err := typedJSON(values[c.Name], c.Type)
		if err != nil {
			return nil, fmt.Errorf("the value for column %s: %w", c.Name, err)
		}
		op.columns = append(op.columns, c.Name)
		op.values[c.Name] = v
	}
	return op, nil
}

// typedJSON reads a value of a type.
func typedJSON(data json.RawMessage, t table.Type) (any, error) {
	switch t {
	case table.String:
		return readJSON[string](data)
	case table.Bool:
		return readJSON[bool](data)
	case table.Float64:
		return readJSON[float64](data)
	}
	return readJSON[int64](data)
}

func readJSON[T any](data json.RawMessage) (any, error) {
	var v *T
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("there is none")
	}
	return *v, nil
}
