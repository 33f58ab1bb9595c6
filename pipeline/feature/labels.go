package feature

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// binaryLabel is the type of a label that is true or false.
const binaryLabel = "binary"

// Labels returns the label of each row of a cleaned batch in dst's memory, and
// which rows have one: valid[i] is false, and the label 0, where it is null, NaN
// or not finite as a float32. A binary label must be true, false, 0 or 1;
// another value is thalweg.Invalid.
func (t *Transform) Labels(batch arrow.Record, dst []float32) (labels []float32, valid []bool, err error) {
	s := sourceOfLabel(t.plan.Label)
	values, err := s.read(batch)
	if err != nil {
		return nil, nil, err
	}
	defer values.Release()
	n := values.Len()
	labels, valid = slices.Grow(dst[:0], n)[:n], make([]bool, n)
	if err := readLabels(s.what, values, labels, valid); err != nil {
		return nil, nil, err
	}
	if t.plan.Label.Type != binaryLabel {
		return labels, valid, nil
	}
	for i, y := range labels {
		if y*y != y { // neither 0 nor 1, without a branch between the two
			return nil, nil, &thalweg.Error{Op: "read", Kind: thalweg.Invalid,
				Err:  &table.RowError{What: s.what, Row: table.RowNumber(batch, i), Err: fmt.Errorf("%v is neither 0 nor 1", y)},
				Hint: "a binary label is true or false: write an expression that says which (" + t.plan.Label.Name + " > …), or type: number"}
		}
	}
	return labels, valid, nil
}

// labelled marks the rows for which Labels says that they have a label.
func labelled(values arrow.Array) table.Mask {
	m := table.Valid(values)
	if f, ok := values.(*array.Float64); ok {
		for i, v := range f.Float64Values() {
			if !finite(float64(float32(v))) {
				m.Clear(i)
			}
		}
	}
	return m
}

func readLabels(what string, values arrow.Array, labels []float32, valid []bool) error {
	switch a := values.(type) {
	case *array.Boolean:
		putLabels(labels, valid, a, table.Indicators(a))
	case *array.Int64:
		putLabels(labels, valid, a, a.Int64Values())
	case *array.Float64:
		putLabels(labels, valid, a, a.Float64Values())
	default:
		return unreadable(what, values)
	}
	return nil
}

func putLabels[T int64 | float64](labels []float32, valid []bool, a arrow.Array, values []T) {
	nulls := a.NullN() > 0
	for i, v := range values {
		y := float32(v)
		ok := y-y == 0
		if nulls && a.IsNull(i) || !ok {
			y, ok = 0, false
		}
		labels[i], valid[i] = y, ok
	}
}
