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
		if y != 0 && y != 1 {
			return nil, nil, &thalweg.Error{Op: "read", Kind: thalweg.Invalid,
				Subject: fmt.Sprintf("%s, row %d", s.what, table.RowNumber(batch, i)),
				Err:     fmt.Errorf("%v is neither 0 nor 1", y)}
		}
	}
	return labels, valid, nil
}

// labelled marks the rows that have a label.
func labelled(what string, values arrow.Array) (table.Mask, error) {
	labels, valid := make([]float32, values.Len()), make([]bool, values.Len())
	m := table.NewMask(values.Len())
	if err := readLabels(what, values, labels, valid); err != nil {
		return m, err
	}
	for i, ok := range valid {
		if ok {
			m.Set(i)
		}
	}
	return m, nil
}

func readLabels(what string, values arrow.Array, labels []float32, valid []bool) error {
	switch a := values.(type) {
	case *array.Boolean:
		putLabels(labels, valid, a, indicators(a))
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
		ok := y-y == 0 && !(nulls && a.IsNull(i))
		if !ok {
			y = 0
		}
		labels[i], valid[i] = y, ok
	}
}
