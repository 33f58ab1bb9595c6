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

// MaxSize bounds the parameters of one model (1 GiB of float32): a spec with
// huge cardinalities must not take a worker's memory.
const MaxSize = 1 << 28

// Spec is the options of a model in a spec.
type Spec interface {
	// New returns the model that minimises a loss over blocks of a shape, which
	// has been checked.
	New(loss Loss, shape kernel.Shape) (*Model, error)
}

// network is the options of a model with hidden layers.
type network interface {
	Spec
	// hidden returns the layers before the one that gives the outputs, how many values they
	// give, and how many rows go through them at a time.
	hidden(shape kernel.Shape) (layers []Layer, width, rows int, err error)
	// least returns how many values the last hidden layer has at least.
	least() int
	// Asked is that of pipeline.Uncertain.
	Asked() string
}

// Descended is the options of a network of several layers, whose training takes steps of its
// own size and number by default.
type Descended interface{ Descends() }

// Smoother is the options of a model that smooths the labels of classes by itself, as much as
// the training rows are few, where the loss does not say how much.
type Smoother interface {
	Smoothing(rows int64) float64
}

// Convex reports whether the loss of a model is convex in its parameters, if it is
// in the outputs: its options say so by a method of this name.
func Convex(choice pipeline.Choice) bool {
	c, ok := choice.Options.(interface{ Convex() bool })
	return ok && c.Convex()
}

// New returns the model that a spec has chosen, with the loss that it has chosen,
// for blocks of the given shape. It fails with Unsupported for a choice that is no
// model or no loss and with Invalid for a shape that cannot be.
func New(choice, loss pipeline.Choice, shape kernel.Shape) (*Model, error) {
	const op = "build model"
	spec, ok := choice.Options.(Spec)
	if !ok {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("model type %q", choice.Name)}
	}
	l, ok := loss.Options.(Loss)
	if !ok {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("loss type %q", loss.Name)}
	}
	err := checkShape(shape)
	if err == nil {
		var m *Model
		if m, err = spec.New(l, clone(shape)); err == nil {
			return m, nil
		}
	}
	return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Err: err}
}

// Find returns the view of the given name.
func Find(m *Model, name string) (View, bool) {
	for _, v := range m.Views() {
		if v.Name == name {
			return v, true
		}
	}
	return View{}, false
}

// Zeros counts the weights that are zero in params, and all weights: biases are none.
func Zeros(m *Model, params []float32) (zeros, weights int) {
	for _, v := range m.Views() {
		if v.Bias {
			continue
		}
		for _, w := range v.Of(params) {
			weights++
			if w == 0 {
				zeros++
			}
		}
	}
	return zeros, weights
}

func checkShape(s kernel.Shape) error {
	if s.Numbers < 0 || s.Numbers > MaxSize {
		return fmt.Errorf("the shape has %d number slots", s.Numbers)
	}
	if s.Numbers+len(s.Cardinalities)+len(s.Lists)+len(s.Terms) == 0 {
		return fmt.Errorf("the shape has no input slots")
	}
	for _, slots := range []struct {
		kind        string
		names, have int
	}{{"number", len(s.NumberNames), s.Numbers}, {"category", len(s.CategoryNames), len(s.Cardinalities)},
		{"list", len(s.ListNames), len(s.Lists)}, {"term", len(s.TermNames), len(s.Terms)}} {
		if slots.names != slots.have {
			return fmt.Errorf("the shape names %d of %d %s slots", slots.names, slots.have, slots.kind)
		}
	}
	total := s.Numbers
	add := func(kind, name string, n int) error {
		if n > MaxSize || total > MaxSize-n {
			return fmt.Errorf("%s %q of size %d makes the model larger than %d parameters", kind, name, n, MaxSize)
		}
		total += n
		return nil
	}
	for j, n := range s.Cardinalities {
		if n < 1 {
			return fmt.Errorf("category %q has %d ids; at least the unknown must be there", s.CategoryNames[j], n)
		}
		if err := add("category", s.CategoryNames[j], n); err != nil {
			return err
		}
	}
	for t, n := range s.Terms {
		if n < 1 {
			return fmt.Errorf("terms %q have %d ids", s.TermNames[t], n)
		}
		if err := add("terms", s.TermNames[t], n); err != nil {
			return err
		}
	}
	for l, dimensions := range s.Lists {
		n := 1
		for _, d := range dimensions {
			if d < 1 || n > MaxSize/d {
				return fmt.Errorf("list %q has dimensions %d", s.ListNames[l], dimensions)
			}
			n *= d
		}
		if err := add("list", s.ListNames[l], n); err != nil {
			return err
		}
	}
	return nil
}

func clone(s kernel.Shape) kernel.Shape {
	s.Embeddings = slices.Clone(s.Embeddings)
	s.Cardinalities, s.Lists = slices.Clone(s.Cardinalities), slices.Clone(s.Lists)
	s.Terms, s.TermNames = slices.Clone(s.Terms), slices.Clone(s.TermNames)
	s.NumberNames, s.CategoryNames, s.ListNames = slices.Clone(s.NumberNames), slices.Clone(s.CategoryNames), slices.Clone(s.ListNames)
	return s
}
