package optim

import "github.com/thalweg/thalweg/pipeline"

// sgd is plain gradient descent, w -= rate*g. It has no state.
type sgd struct{ learningRate float32 }

func newSGD(spec pipeline.Optimizer) (Optimizer, error) {
	return sgd{learningRate: float32(spec.LearningRate)}, nil
}

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
