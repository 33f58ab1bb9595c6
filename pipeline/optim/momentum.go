package optim

import (
	"cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Momentum goes on in the direction of past gradients: the heavy ball method as
// PyTorch's SGD has it (Sutskever et al. 2013, with the learning rate outside the
// velocity):
//
//	v = momentum*v + g
//	w -= rate*v
//
// The state is v.
type Momentum struct {
	// LearningRate is the length of a step beside the gradient.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Momentum of the momentum rule.
	Momentum float64 `yaml:"momentum,omitempty" json:"momentum,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *Momentum) Defaults(at pipeline.Place) {
	// With a momentum of 0.9 a step goes about ten times as far as without.
	pipeline.Default(at, "learning_rate", &s.LearningRate, 0.01)
	pipeline.Default(at, "momentum", &s.Momentum, 0.9)
}

// Validate implements Optimizer.
func (s *Momentum) Validate() error {
	return cmp.Or(checkShare("momentum", s.Momentum), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*Momentum) StateSize(n int) int { return n }

// Step implements Optimizer.
func (s *Momentum) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, momentum := float32(s.LearningRate)*scale, float32(s.Momentum)
	grad, state = grad[:len(params)], state[:len(params)]
	for i := range params {
		v := float32(momentum*state[i]) + grad[i]
		state[i] = v
		params[i] -= float32(rate * v)
	}
}

// Rate implements Penalizable.
func (s *Momentum) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *Momentum) Rates(dst, _ []float32, _, _ int) {
	kernel.Fill(dst, float32(s.LearningRate/(1-s.Momentum)))
}
