package optim

import (
	"cmp"

	"github.com/thalweg/thalweg/pipeline"
)

// RMSProp divides the step of each parameter by the root of a moving average of the
// squares of its gradients (Tieleman and Hinton 2012, lecture 6.5), in PyTorch's
// form:
//
//	v = alpha*v + (1-alpha)*g*g
//	b = momentum*b + g / (sqrt(v) + epsilon)
//	w -= rate*b
//
// The state is v, b.
type RMSProp struct {
	// LearningRate is about what a weight moves in a step.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Alpha is how much of the squares is kept in a step.
	Alpha float64 `yaml:"alpha,omitempty" json:"alpha,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// Momentum is how much of the last step is made again.
	Momentum float64 `yaml:"momentum,omitempty" json:"momentum,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1"`
	// Epsilon keeps the divisor above 0.
	Epsilon float64 `yaml:"epsilon,omitempty" json:"epsilon,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter. Alpha and epsilon are PyTorch's.
func (s *RMSProp) Defaults(at pipeline.Place) {
	pipeline.Default(at, "learning_rate", &s.LearningRate, defaultAdam().LearningRate)
	pipeline.Default(at, "alpha", &s.Alpha, 0.99)
	pipeline.Default(at, "epsilon", &s.Epsilon, 1e-8)
}

// Validate implements Optimizer.
func (s *RMSProp) Validate() error {
	return cmp.Or(checkShare("alpha", s.Alpha), checkShare("momentum", s.Momentum), checkPositive("epsilon", s.Epsilon), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*RMSProp) StateSize(n int) int { return 2 * n }

// Step implements Optimizer.
func (s *RMSProp) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, epsilon, alpha, momentum := float32(s.LearningRate)*scale, float32(s.Epsilon), float32(s.Alpha), float32(s.Momentum)
	fresh := 1 - alpha
	n := len(params)
	grad, squares, moved := grad[:n], state[:n], state[n:2*n]
	for i := range params {
		g := grad[i]
		v := float32(alpha*squares[i]) + float32(fresh*float32(g*g))
		b := float32(momentum*moved[i]) + g/(sqrt(v)+epsilon)
		squares[i], moved[i] = v, b
		params[i] -= float32(rate * b)
	}
}

// Rate implements Penalizable.
func (s *RMSProp) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *RMSProp) Rates(dst, state []float32, _, from int) {
	adaptive(dst, state[from:], float32(s.LearningRate/(1-s.Momentum)), float32(s.Epsilon))
}
