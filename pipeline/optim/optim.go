// Package optim holds the ways to train: Algorithms, the first of which is
// stochastic gradient descent with averaging, and the update rules of its steps.
package optim

import (
	"fmt"
	"math"
)

// Optimizer is one update rule: the options of its entry in the catalog. It may be
// used concurrently on different vectors.
//
// It works on one flat vector of parameters and one flat vector of state; both are
// averaged over replicas, so every state is a moving average or a sum of past gradients (or
// of their squares) and averaging it means something. There is no step counter:
// what bias correction needs is kept as an average too.
type Optimizer interface {
	// Validate reports the first option out of range.
	Validate() error
	// StateSize is the length of the state for n parameters. A state of zeros is
	// where training starts.
	StateSize(n int) int
	// Step updates params and state in place. grad is the gradient of the mean
	// loss of the batch, regularization included. scale is what the schedule
	// multiplies the learning rate by. Lengths that do not fit panic.
	Step(params, grad, state []float32, scale float32)
}

// settler is an Optimizer whose parameters follow from its state: Settle computes
// them after the average of both.
type settler interface {
	Settle(params, state []float32)
}

// checkPositive fails unless an option is above 0 and finite, as a float32 too.
func checkPositive(name string, v float64) error {
	if !(float32(v) > 0 && float32(v) <= math.MaxFloat32) {
		return fmt.Errorf("%s is %v, not above 0 and at most %.2g", name, v, math.MaxFloat32)
	}
	return nil
}

// checkShare fails unless an option is in [0, 1), as a float32 too: a moving average that
// keeps all of itself never moves.
func checkShare(name string, v float64) error {
	if !(v >= 0 && float32(v) < 1) {
		return fmt.Errorf("%s is %v, not in [0, 1)", name, v)
	}
	return nil
}

// checkStep panics unless the vectors of a step belong together.
func checkStep(o Optimizer, params, grad, state []float32) {
	if len(grad) != len(params) || len(state) != o.StateSize(len(params)) {
		panic("optim: vectors of unequal length")
	}
}
