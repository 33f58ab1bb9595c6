// Package model holds what can be learned: a Model computes predictions and
// gradients from one flat vector of parameters, cut into named views. It keeps
// no parameters itself, so that training, averaging, checkpoints and scoring
// share one vector without copying.
package model

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Label is the type of the output feature: it chooses the loss and the last
// step of a prediction.
type Label string

// The label types, as output_features spell them.
const (
	// Binary: labels are 0 or 1, the loss is log loss, a prediction is the
	// probability of 1.
	Binary Label = "binary"
	// Number: the loss is half the squared error, a prediction is the value.
	Number Label = "number"
)

// MaxSize bounds the parameters of one model (1 GiB of float32): a spec with
// huge cardinalities must not take a worker's memory.
const MaxSize = 1 << 28

// View names a part of the parameter vector.
type View struct {
	// Name is unique within a model and stable: "category.origin.weight", "bias".
	Name string
	// Shape is the view's dimensions, row-major.
	Shape []int
	// Offset is the position of the view's first element in the vector.
	Offset int
	// Bias: the view is not a weight, and regularization leaves it alone.
	Bias bool
}

// Size returns the count of the view's elements.
func (v View) Size() int {
	n := 1
	for _, d := range v.Shape {
		n *= d
	}
	return n
}

// Of returns the view's part of params.
func (v View) Of(params []float32) []float32 {
	return params[v.Offset : v.Offset+v.Size() : v.Offset+v.Size()]
}

// Model is a function from parameters and rows to predictions, and its
// gradient. It is immutable; all methods may be called concurrently, none keeps
// or allocates memory in proportion to rows. Vectors of a length other than
// Size and blocks of another shape panic.
type Model interface {
	// Type is the model's name in a spec: "linear".
	Type() string
	// Label is the type of output that the model predicts.
	Label() Label
	// Shape is the shape of the blocks that the model reads.
	Shape() kernel.Shape
	// Size is the length of the parameter vector.
	Size() int
	// Views returns the named parts of the vector: ascending, disjoint, covering
	// all of it. The caller must not change them.
	Views() []View
	// Init sets the parameters from which training starts. The same seed gives
	// the same bits on every machine.
	Init(params []float32, seed uint64)
	// Gradient overwrites grad with the gradient of the mean loss over the
	// block's rows (without regularization) and returns the sum of the losses.
	// The block must have labels and at least one row.
	Gradient(params []float32, b *kernel.Block, grad []float32) (loss float64)
	// Predict sets out[i] to the prediction of row i. A row's bits do not depend
	// on the block that it is in.
	Predict(params []float32, b *kernel.Block, out []float32)
	// Rescale turns params that predict (y-mean)/scale into params that predict
	// y. Only a Number model has it; Binary ones panic.
	Rescale(params []float32, mean, scale float64)
}

// New returns the model of a spec for blocks of the given shape. label is the
// output feature's type, "binary" or "number". It fails with Unsupported for a
// model that this build does not have and with Invalid for a label or shape
// that cannot be.
func New(spec pipeline.ModelSpec, label string, shape kernel.Shape) (Model, error) {
	const op = "build model"
	if label != string(Binary) && label != string(Number) {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("output type %q", label),
			Hint: "binary and number are supported"}
	}
	if err := checkShape(shape); err != nil {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Err: err}
	}
	build, ok := catalog[spec.Type]
	if !ok {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("model type %q", spec.Type),
			Hint: "linear is supported"}
	}
	return build(spec, Label(label), clone(shape)), nil
}

// Find returns the view of the given name.
func Find(m Model, name string) (View, bool) {
	for _, v := range m.Views() {
		if v.Name == name {
			return v, true
		}
	}
	return View{}, false
}

func checkShape(s kernel.Shape) error {
	if s.Numbers < 0 || s.Numbers > MaxSize {
		return fmt.Errorf("the shape has %d number slots", s.Numbers)
	}
	if s.Numbers == 0 && len(s.Cardinalities) == 0 {
		return fmt.Errorf("the shape has no input slots")
	}
	if len(s.NumberNames) != s.Numbers || len(s.CategoryNames) != len(s.Cardinalities) {
		return fmt.Errorf("the shape names %d of %d number slots and %d of %d category slots",
			len(s.NumberNames), s.Numbers, len(s.CategoryNames), len(s.Cardinalities))
	}
	total := s.Numbers
	for j, n := range s.Cardinalities {
		if n < 1 {
			return fmt.Errorf("category %q has %d ids; at least the unknown must be there", s.CategoryNames[j], n)
		}
		if n > MaxSize || total > MaxSize-n {
			return fmt.Errorf("category %q with %d ids makes the model larger than %d parameters", s.CategoryNames[j], n, MaxSize)
		}
		total += n
	}
	return nil
}

func clone(s kernel.Shape) kernel.Shape {
	s.Cardinalities = slices.Clone(s.Cardinalities)
	s.NumberNames = slices.Clone(s.NumberNames)
	s.CategoryNames = slices.Clone(s.CategoryNames)
	return s
}
