package optim

import (
	"cmp"

	"github.com/thalweg/thalweg/pipeline"
)

// AdaDelta takes the length of each parameter's step from those before (Zeiler
// 2012, algorithm 1), in PyTorch's form:
//
//	v = rho*v + (1-rho)*g*g
//	d = g * sqrt(u + epsilon) / sqrt(v + epsilon)
//	u = rho*u + (1-rho)*d*d
//	w -= rate*d
//
// The state is v, u.
type AdaDelta struct {
	// LearningRate multiplies steps; the paper has 1.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Rho is how much of the squares is kept in a step.
	Rho float64 `yaml:"rho,omitempty" json:"rho,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// Epsilon is what the first steps begin from: the larger, the longer they are.
	Epsilon float64 `yaml:"epsilon,omitempty" json:"epsilon,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter. They are PyTorch's.
func (s *AdaDelta) Defaults(at pipeline.Place) {
	pipeline.Default(at, "learning_rate", &s.LearningRate, 1)
	pipeline.Default(at, "rho", &s.Rho, 0.9)
	pipeline.Default(at, "epsilon", &s.Epsilon, 1e-6)
}

// Validate implements Optimizer.
func (s *AdaDelta) Validate() error {
	return cmp.Or(checkShare("rho", s.Rho), checkPositive("epsilon", s.Epsilon), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*AdaDelta) StateSize(n int) int { return 2 * n }

// Step implements Optimizer.
func (s *AdaDelta) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, epsilon, rho := float32(s.LearningRate)*scale, float32(s.Epsilon), float32(s.Rho)
	fresh := 1 - rho
	n := len(params)
	grad, squares, steps := grad[:n], state[:n], state[n:2*n]
	for i := range params {
		g := grad[i]
		v := float32(rho*squares[i]) + float32(fresh*float32(g*g))
		d := float32(g*sqrt(steps[i]+epsilon)) / sqrt(v+epsilon)
		squares[i], steps[i] = v, float32(rho*steps[i])+float32(fresh*float32(d*d))
		params[i] -= float32(rate * d)
	}
}

// Rate implements Penalizable.
func (s *AdaDelta) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *AdaDelta) Rates(dst, state []float32, n, from int) {
	epsilon := float32(s.Epsilon)
	for i := range dst {
		if dst[i] = 0; state[from+i] > 0 {
			dst[i] = float32(s.LearningRate) * sqrt(state[n+from+i]+epsilon) / sqrt(state[from+i]+epsilon)
		}
	}
}
