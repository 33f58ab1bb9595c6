package optim

// Nesterov is momentum that looks a step ahead, as PyTorch's SGD(nesterov=True) has
// it (Sutskever et al. 2013, in a form in which w is where the gradient is taken):
//
//	v = momentum*v + g
//	w -= rate*(g + momentum*v)
//
// The state is v.
type Nesterov struct {
	Momentum `yaml:",inline" json:",inline"`
}

// Step implements Optimizer.
func (s *Nesterov) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	rate, momentum := float32(s.LearningRate)*scale, float32(s.Momentum.Momentum)
	grad, state = grad[:len(params)], state[:len(params)]
	for i := range params {
		v := float32(momentum*state[i]) + grad[i]
		state[i] = v
		params[i] -= float32(rate * (grad[i] + float32(momentum*v)))
	}
}
