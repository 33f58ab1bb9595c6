package optim

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// SGD is plain gradient descent, w -= rate*g. It has no state.
type SGD struct {
	// LearningRate is the length of a step beside the gradient.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (s *SGD) Defaults(at pipeline.Place) {
	// Stable for features of unit variance.
	pipeline.Default(at, "learning_rate", &s.LearningRate, 0.1)
}

// Validate implements Optimizer.
func (s *SGD) Validate() error { return checkPositive("learning_rate", s.LearningRate) }

// StateSize implements Optimizer.
func (*SGD) StateSize(int) int { return 0 }

// Step implements Optimizer.
func (s *SGD) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate := float32(s.LearningRate) * scale
	grad = grad[:len(params)]
	for i := range params {
		params[i] -= float32(rate * grad[i])
	}
}

// Rate implements Penalizable.
func (s *SGD) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *SGD) Rates(dst, _ []float32, _, _ int) { kernel.Fill(dst, float32(s.LearningRate)) }
