package optim

import (
	"cmp"

	"github.com/thalweg/thalweg/pipeline"
)

// DecayedAdagrad is Adagrad that forgets: PaddlePaddle's rule of this name.
//
//	v = decay*v + (1-decay)*g*g
//	w -= rate * g / (sqrt(v) + epsilon)
//
// The state is v.
type DecayedAdagrad struct {
	// LearningRate is about what a weight moves in a step.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Decay is how much of the squares is kept in a step.
	Decay float64 `yaml:"decay,omitempty" json:"decay,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// Epsilon keeps the divisor above 0.
	Epsilon float64 `yaml:"epsilon,omitempty" json:"epsilon,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter. Decay and epsilon are PaddlePaddle's.
func (s *DecayedAdagrad) Defaults(at pipeline.Place) {
	pipeline.Default(at, "learning_rate", &s.LearningRate, defaultAdam().LearningRate)
	pipeline.Default(at, "decay", &s.Decay, 0.95)
	pipeline.Default(at, "epsilon", &s.Epsilon, 1e-6)
}

// Validate implements Optimizer.
func (s *DecayedAdagrad) Validate() error {
	return cmp.Or(checkShare("decay", s.Decay), checkPositive("epsilon", s.Epsilon), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*DecayedAdagrad) StateSize(n int) int { return n }

// Step implements Optimizer.
func (s *DecayedAdagrad) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, epsilon, decay := float32(s.LearningRate)*scale, float32(s.Epsilon), float32(s.Decay)
	fresh := 1 - decay
	grad, state = grad[:len(params)], state[:len(params)]
	for i := range params {
		g := grad[i]
		v := float32(decay*state[i]) + float32(fresh*float32(g*g))
		state[i] = v
		params[i] -= float32(rate*g) / (sqrt(v) + epsilon)
	}
}

// Rate implements Penalizable.
func (s *DecayedAdagrad) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *DecayedAdagrad) Rates(dst, state []float32, _, from int) {
	adaptive(dst, state[from:], float32(s.LearningRate), float32(s.Epsilon))
}
