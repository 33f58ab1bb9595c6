package optim

import (
	"cmp"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Adam scales the step of each parameter by the gradients it has seen (Kingma and
// Ba 2015, algorithm 1). It has no step counter:
//
//	m  = b1*m + (1-b1)*g        c1 = b1*c1 + (1-b1)
//	v  = b2*v + (1-b2)*g*g      c2 = b2*c2 + (1-b2)
//	w -= rate * (m/c1) / (sqrt(v/c2) + epsilon)
//
// The paper divides by 1-b^t; that is what c, the same moving average over
// ones, is after t steps from zero. Unlike t it can be averaged over replicas
// that made unequal numbers of steps, and stays the right divisor for the
// averaged m and v.
//
// The state is m, v, c1, c2.
type Adam struct {
	// LearningRate is about what a weight moves in a step.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Betas of adam.
	Betas []float64 `yaml:"betas,omitempty" json:"betas,omitempty" jsonschema:"minItems=2,maxItems=2"`
	// Epsilon of adam.
	Epsilon float64 `yaml:"epsilon,omitempty" json:"epsilon,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// defaultAdam is adam with the constants of the paper, but for the rate: a linear
// model on normalised features bears a larger one than the 0.001 that is customary
// for deep ones. From 0.003 to 0.01 one replica and eight come equally near to the
// optimum on three million rows of flights; below it a small table needs more
// epochs.
func defaultAdam() *Adam {
	return &Adam{LearningRate: 0.005, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}
}

// Defaults implements pipeline.Defaulter.
func (s *Adam) Defaults(at pipeline.Place) {
	d := defaultAdam()
	pipeline.Default(at, "learning_rate", &s.LearningRate, d.LearningRate)
	pipeline.DefaultList(at, "betas", &s.Betas, d.Betas...)
	pipeline.Default(at, "epsilon", &s.Epsilon, d.Epsilon)
}

// Check implements pipeline.Checker.
func (s *Adam) Check(at pipeline.Place) {
	for i, beta := range s.Betas {
		if beta < 0 || beta >= 1 {
			at.Problem(fmt.Sprintf("betas[%d]", i), "", "%v is out of range: it must be at least 0 and below 1", beta)
		}
	}
}

// Validate implements Optimizer.
func (s *Adam) Validate() error {
	if len(s.Betas) != 2 {
		return fmt.Errorf("betas has %d values, not 2", len(s.Betas))
	}
	return cmp.Or(checkShare("the first beta", s.Betas[0]), checkShare("the second beta", s.Betas[1]), checkPositive("epsilon", s.Epsilon), checkPositive("learning_rate", s.LearningRate))
}

// StateSize implements Optimizer.
func (*Adam) StateSize(n int) int { return 2*n + 2 }

// Step implements Optimizer.
func (s *Adam) Step(params, grad, state []float32, scale float32) {
	checkStep(s, params, grad, state)
	n := len(params)
	m, v, c := state[:n], state[n:2*n], state[2*n:]
	beta1, beta2 := float32(s.Betas[0]), float32(s.Betas[1])
	new1, new2 := 1-beta1, 1-beta2
	c[0] = float32(beta1*c[0]) + new1
	c[1] = float32(beta2*c[1]) + new2
	// rate*(m/c1)/(sqrt(v/c2)+eps) = step*m/(sqrt(v)+bar), one division less.
	root := sqrt(c[1])
	step := float32(s.LearningRate) * scale * root / c[0]
	bar := float32(float32(s.Epsilon) * root)
	kernel.AdamStep(params, grad, m, v, beta1, new1, beta2, new2, step, bar)
}

// sqrt is the float32 square root, correctly rounded: the compiler has one
// instruction for this form.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// Rate implements Penalizable.
func (s *Adam) Rate() float64 { return s.LearningRate }

// Rates implements Penalizable.
func (s *Adam) Rates(dst, state []float32, n, from int) {
	root := sqrt(state[2*n+1])
	adaptive(dst, state[n+from:2*n], float32(s.LearningRate)*root, float32(float32(s.Epsilon)*root))
}
