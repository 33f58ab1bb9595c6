package optim

import (
	"cmp"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
)

// FTRL is FTRL-proximal, follow the regularised leader with a rate for each
// coordinate (McMahan et al. 2013, "Ad Click Prediction: a View from the Trenches",
// algorithm 1):
//
//	sigma = (sqrt(n + g*g) - sqrt(n)) / rate
//	z += g - sigma*w        n += g*g
//	w = 0                                                    if |z| <= l1
//	w = -(z - sign(z)*l1) / ((beta + sqrt(n))/rate + l2)     else
//
// so weights that the rows do not ask for are really zero. A bias has no l1 and l2.
// Where training starts from a w that is not 0, z starts so that this is its weight.
//
// The state is z, n. After an average w is computed anew from the averages of both,
// so that what is zero in them is zero.
type FTRL struct {
	// LearningRate is alpha of the paper: how far a weight moves beside its gradients,
	// divided by beta and the root of the sum of their squares.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Beta shortens the first steps.
	Beta float64 `yaml:"beta,omitempty" json:"beta,omitempty" jsonschema:"exclusiveMinimum=0"`
	// L1 is what the sum of a weight's gradients must exceed for it to be other than
	// zero: gradients of the mean loss of a batch, over all steps of a replica.
	L1 float64 `yaml:"l1,omitempty" json:"l1,omitempty" jsonschema:"minimum=0"`
	// L2 shrinks weights, beside the sum of the gradients as l1.
	L2 float64 `yaml:"l2,omitempty" json:"l2,omitempty" jsonschema:"minimum=0"`
}

// Defaults implements pipeline.Defaulter. Beta is the paper's; gradients of a mean over
// a batch are smaller than those of a row, for which it has a lower rate.
func (s *FTRL) Defaults(at pipeline.Place) {
	pipeline.Default(at, "learning_rate", &s.LearningRate, 1)
	pipeline.Default(at, "beta", &s.Beta, 1)
}

// Validate implements Optimizer.
func (s *FTRL) Validate() error {
	for k, v := range []float64{s.L1, s.L2} {
		if !(v >= 0 && float32(v) < 1e30) {
			return fmt.Errorf("l%d is %v, not in [0, 1e30)", k+1, v)
		}
	}
	return cmp.Or(checkPositive("beta", s.Beta), checkPositive("learning_rate", s.LearningRate))
}

// Sparse reports whether there is l1.
func (s *FTRL) Sparse() bool { return s.L1 > 0 }

// Refuses implements pipeline.Demanding.
func (*FTRL) Refuses(options any) string {
	if m, ok := options.(*model.MLP); ok && m.Normalization == "batch" {
		return "its weights follow from sums of gradients, and running means of normalization: batch have none"
	}
	return ""
}

// Without implements pipeline.Restricted.
func (*FTRL) Without() map[string]string {
	return map[string]string{
		"learning_rate_scheduler":     "the rate of ftrl falls by itself: leave the schedule out, or choose another optimizer",
		"regularization.l1":           "write trainer.optimizer.l1, in the unit of the paper",
		"regularization.decoupled":    "write trainer.optimizer.l2",
		"distributed.outer_optimizer": "weights of ftrl follow from its sums of gradients: choose another optimizer",
	}
}

// StateSize implements Optimizer.
func (*FTRL) StateSize(n int) int { return 2 * n }

// Step implements Optimizer, all parameters being weights.
func (s *FTRL) Step(params, grad, state []float32, _ float32) {
	checkStep(s, params, grad, state)
	s.forWeights([][2]int{{0, len(params)}}).Step(params, grad, state, 1)
}

func (s *FTRL) forWeights(weights [][2]int) Optimizer { return &ftrl{s, weights} }

// ftrl knows which parameters are weights, as [from, to).
type ftrl struct {
	*FTRL
	weights [][2]int
}

// Step implements Optimizer.
func (s *ftrl) Step(params, grad, state []float32, _ float32) {
	checkStep(s, params, grad, state)
	n := len(params)
	grad, z, squares := grad[:n], state[:n], state[n:2*n]
	s.each(n, func(from, to int, l1, l2 float32) {
		rate, beta := float32(s.LearningRate), float32(s.Beta)
		for i := from; i < to; i++ {
			w, g := params[i], grad[i]
			if z[i] == 0 && squares[i] == 0 && w != 0 { // its first step
				z[i] = -(float32(w*(beta/rate+l2)) + signed(l1, w))
			}
			before, sum := sqrt(squares[i]), squares[i]+float32(g*g)
			z[i] += g - float32((sqrt(sum)-before)/rate*w)
			squares[i] = sum
			params[i] = s.weight(z[i], sum, l1, l2)
		}
	})
}

// Settle implements settler.
func (s *ftrl) Settle(params, state []float32) {
	n := len(params)
	s.each(n, func(from, to int, l1, l2 float32) {
		for i := from; i < to; i++ {
			if z, squares := state[i], state[n+i]; z != 0 || squares != 0 {
				params[i] = s.weight(z, squares, l1, l2)
			}
		}
	})
}

// weight is the leader.
func (s *ftrl) weight(z, squares, l1, l2 float32) float32 {
	if z <= l1 && z >= -l1 {
		return 0
	}
	return -(z - signed(l1, z)) / ((float32(s.Beta)+sqrt(squares))/float32(s.LearningRate) + l2)
}

// each calls f for the parameters in turn, with the penalties that they have.
func (s *ftrl) each(n int, f func(from, to int, l1, l2 float32)) {
	at := 0
	for _, w := range s.weights {
		f(at, w[0], 0, 0)
		f(w[0], w[1], float32(s.L1), float32(s.L2))
		at = w[1]
	}
	f(at, n, 0, 0)
}

// signed is x, at least 0, with the sign of another.
func signed(x, sign float32) float32 {
	return float32(math.Copysign(float64(x), float64(sign)))
}
