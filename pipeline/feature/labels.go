package feature

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The types of labels that are not just any numbers: true or false, classes, and
// numbers of events.
const (
	binaryLabel   = "binary"
	categoryLabel = "category"
	countLabel    = "count"
)

const (
	// MaxClasses bounds the classes of a label: a linear model has the weights of all
	// features once for each, and scored rows a probability.
	MaxClasses      = 1000
	maxClassesBytes = 256 << 10
)

// classBounds are those of a category label.
var classBounds = bounds{values: MaxClasses, bytes: maxClassesBytes,
	hint: "a category has few classes: clean values into fewer, write an expression that groups them, or type: number for a quantity"}

// UnknownClass is the label of a row whose class no training row has.
const UnknownClass = -1

// Labels returns the label of each row of a cleaned batch in dst's memory, and
// which rows have one: valid[i] is false, and the label 0, where it is null, NaN
// or not finite as a float32. A binary label must be true, false, 0 or 1
// and a count not negative; another value is thalweg.Invalid. A class is its number in the order of
// Label.Classes, UnknownClass and not valid where it is none of these.
func (t *Transform) Labels(batch arrow.Record, dst []float32) (labels []float32, valid []bool, err error) {
	s := sourceOfLabel(t.plan.Label)
	values, err := s.read(batch)
	if err != nil {
		return nil, nil, err
	}
	defer values.Release()
	n := values.Len()
	labels, valid = slices.Grow(dst[:0], n)[:n], make([]bool, n)
	if t.plan.Label.Type == categoryLabel {
		return labels, valid, t.readClasses(s.what, values, labels, valid)
	}
	if err := readLabels(s.what, values, labels, valid); err != nil {
		return nil, nil, err
	}
	if t.plan.Label.Type == countLabel {
		if i := slices.IndexFunc(labels, func(y float32) bool { return y < 0 }); i >= 0 {
			return nil, nil, &thalweg.Error{Op: "read", Kind: thalweg.Invalid,
				Err:  &table.RowError{What: s.what, Row: table.RowNumber(batch, i), Err: fmt.Errorf("%v is no count", labels[i])},
				Hint: "a count is 0 or more: filter such rows out, or write type: number"}
		}
	}
	if t.plan.Label.Type != binaryLabel || values.DataType().ID() == arrow.BOOL {
		return labels, valid, nil
	}
	for i, y := range labels {
		if y*y != y { // neither 0 nor 1, without a branch between the two
			return nil, nil, &thalweg.Error{Op: "read", Kind: thalweg.Invalid,
				Err:  &table.RowError{What: s.what, Row: table.RowNumber(batch, i), Err: fmt.Errorf("%v is neither 0 nor 1", y)},
				Hint: "a binary label is true or false: write an expression that says which (" + t.plan.Label.Name + " > …), or type: category for several classes, or type: number"}
		}
	}
	return labels, valid, nil
}

// BinaryLabels is Transform.Labels of a binary label, before anything is fitted.
func BinaryLabels(plan *pipeline.Plan, batch arrow.Record) (labels []float32, valid []bool, err error) {
	return (&Transform{plan: plan}).Labels(batch, nil)
}

// readClasses sets the numbers of classes.
func (t *Transform) readClasses(what string, values arrow.Array, labels []float32, valid []bool) error {
	number := func(text string) float32 {
		if k, ok := slices.BinarySearch(t.data.Label.Classes, text); ok {
			return float32(k)
		}
		return UnknownClass
	}
	of := table.Resolver(values, number, table.ByText(number))
	if of == nil {
		return unreadable(what, values)
	}
	for i := range labels {
		if labels[i] = 0; values.IsValid(i) {
			labels[i] = of(i)
			valid[i] = labels[i] != UnknownClass
		}
	}
	return nil
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
		putBools(labels, valid, a)
	case *array.Int64:
		putLabels(labels, valid, a, a.Int64Values())
	case *array.Float64:
		putLabels(labels, valid, a, a.Float64Values())
	default:
		return unreadable(what, values)
	}
	return nil
}

func putBools(labels []float32, valid []bool, a *array.Boolean) {
	const one = 0x3f800000 // the bits of 1
	yes, have := table.True(a), table.Valid(a)
	for w, word := range yes.Words {
		there := have.Words[w]
		labels, valid := labels[w*64:min(w*64+64, len(labels))], valid[w*64:]
		for i := range labels {
			labels[i] = math.Float32frombits(uint32(word>>i&1) * one)
			valid[i] = there>>i&1 != 0
		}
	}
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
