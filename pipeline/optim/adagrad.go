package optim

import (
	"cmp"

	"github.com/thalweg/thalweg/pipeline"
)

// Adagrad divides the step of each parameter by the root of the sum of the squares of
// all its gradients (Duchi, Hazan and Singer 2011, with a diagonal matrix), in
// PyTorch's form:
//
//	s += g*g
//	w -= rate * g / (sqrt(s) + epsilon)
//
// The state is s.
type Adagrad struct {
	// LearningRate is what a weight moves in its first step.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Epsilon keeps the divisor above 0.
	Epsilon float64 `yaml:"epsilon,omitempty" json:"epsilon,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (s *Adagrad) Defaults(at pipeline.Place) {
	// Steps only get shorter, so the first are long.
	pipeline.Default(at, "learning_rate", &s.LearningRate, 0.1)
	pipeline.Default(at, "epsilon", &s.Epsilon, 1e-10)
}

// Validate implements Optimizer.
func (s *Adagrad) Validate() error {
	return cmp.Or(checkPositive("epsilon", s.Epsilon), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*Adagrad) StateSize(n int) int { return n }

// Step implements Optimizer.
func (s *Adagrad) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, epsilon := float32(s.LearningRate)*scale, float32(s.Epsilon)
	grad, state = grad[:len(params)], state[:len(params)]
	for i := range params {
		g := grad[i]
		sum := state[i] + float32(g*g)
		state[i] = sum
		params[i] -= float32(rate*g) / (sqrt(sum) + epsilon)
	}
}

// Rate implements Penalizable.
func (s *Adagrad) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *Adagrad) Rates(dst, state []float32, _, from int) {
	adaptive(dst, state[from:], float32(s.LearningRate), float32(s.Epsilon))
}
