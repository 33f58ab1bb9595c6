package optim

import (
	_ "embed"

	"github.com/thalweg/thalweg/pipeline"
)

//go:embed sgd.go
var sgdSource string

// SGD is plain gradient descent.
type SGD struct {
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (s *SGD) Defaults(at pipeline.Place) {
	// Stable for features of unit variance.
	pipeline.Default(at, "learning_rate", &s.LearningRate, 0.1)
}

// New implements Spec.
func (s *SGD) New() (Optimizer, error) {
	return sgd{float32(s.LearningRate)}, checkRate(s.LearningRate)
}

// sgd is w -= rate*g. It has no state.
type sgd struct{ learningRate float32 }

func (sgd) Type() string      { return "sgd" }
func (sgd) StateSize(int) int { return 0 }

func (o sgd) Step(params, grad, state []float32, rate float32) {
	checkStep(o, params, grad, state)
	rate *= o.learningRate
	grad = grad[:len(params)]
	for i := range params {
		params[i] -= float32(rate * grad[i])
	}
}
