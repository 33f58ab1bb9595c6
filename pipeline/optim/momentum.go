package optim

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
)

// momentum is the heavy ball method as PyTorch's SGD has it (Sutskever et al.
// 2013, with the learning rate outside the velocity):
//
//	v = momentum*v + g
//	w -= rate*v
//
// The state is v.
type momentum struct{ learningRate, momentum float32 }

func newMomentum(spec pipeline.Optimizer) (Optimizer, error) {
	if !(spec.Momentum >= 0 && spec.Momentum < 1) {
		return nil, fmt.Errorf("momentum is %v, not in [0, 1)", spec.Momentum)
	}
	return momentum{learningRate: float32(spec.LearningRate), momentum: float32(spec.Momentum)}, nil
}

func (momentum) Type() string        { return "momentum" }
func (momentum) StateSize(n int) int { return n }

func (o momentum) Step(params, grad, state []float32, rate float32) {
	checkStep(o, params, grad, state)
	rate *= o.learningRate
	grad, state = grad[:len(params)], state[:len(params)]
	for i := range params {
		v := float32(o.momentum*state[i]) + grad[i]
		state[i] = v
		params[i] -= float32(rate * v)
	}
}
