// Package optim holds the local update rules of stochastic gradient descent.
// An Optimizer works on one flat vector of parameters and one flat vector of
// state; both are averaged over replicas, so every state here is a linear
// function of past gradients (or of their squares) and averaging it means
// something. There is no step counter: what bias correction needs is kept as an
// average too.
package optim

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Optimizer is one update rule: the options of its entry in the catalog. It may be
// used concurrently on different vectors.
type Optimizer interface {
	// Validate reports the first option out of range.
	Validate() error
	// StateSize is the length of the state for n parameters. A state of zeros is
	// where training starts.
	StateSize(n int) int
	// Step updates params and state in place. grad is the gradient of the mean
	// loss of the batch, regularization included. Lengths that do not fit panic.
	Step(params, grad, state []float32)
}

// New returns the optimizer that a spec has chosen, with its defaults filled in.
// It fails with Unsupported for a choice that is no optimizer, and with Invalid
// for hyperparameters out of range.
func New(choice pipeline.Choice) (Optimizer, error) {
	const op = "build optimizer"
	o, ok := choice.Options.(Optimizer)
	if !ok {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("optimizer type %q", choice.Name)}
	}
	if err := o.Validate(); err != nil {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: choice.Name, Err: err}
	}
	return o, nil
}

func checkRate(rate float64) error {
	if !(rate > 0) || math.IsInf(rate, 1) {
		return fmt.Errorf("learning_rate is %v, not above 0", rate)
	}
	return nil
}

// checkStep panics unless the vectors of a step belong together.
func checkStep(o Optimizer, params, grad, state []float32) {
	if len(grad) != len(params) || len(state) != o.StateSize(len(params)) {
		panic("optim: vectors of unequal length")
	}
}
