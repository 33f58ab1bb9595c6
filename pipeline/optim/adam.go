package optim

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
)

// adam is Adam (Kingma and Ba 2015, algorithm 1), without its step counter:
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
type adam struct{ learningRate, beta1, beta2, epsilon float32 }

func newAdam(spec pipeline.Optimizer) (Optimizer, error) {
	if len(spec.Betas) != 2 {
		return nil, fmt.Errorf("betas has %d values, not 2", len(spec.Betas))
	}
	for _, b := range spec.Betas {
		// As a float32 too it must be below 1, or the average never moves.
		if !(b >= 0 && float32(b) < 1) {
			return nil, fmt.Errorf("a beta is %v, not in [0, 1)", b)
		}
	}
	if !(float32(spec.Epsilon) > 0) || math.IsInf(spec.Epsilon, 1) {
		return nil, fmt.Errorf("epsilon is %v, not above 0", spec.Epsilon)
	}
	return adam{learningRate: float32(spec.LearningRate), beta1: float32(spec.Betas[0]),
		beta2: float32(spec.Betas[1]), epsilon: float32(spec.Epsilon)}, nil
}

func (adam) Type() string        { return "adam" }
func (adam) StateSize(n int) int { return 2*n + 2 }

func (o adam) Step(params, grad, state []float32, rate float32) {
	checkStep(o, params, grad, state)
	n := len(params)
	m, v, c := state[:n], state[n:2*n], state[2*n:]
	grad = grad[:n]
	new1, new2 := 1-o.beta1, 1-o.beta2
	c[0] = float32(o.beta1*c[0]) + new1
	c[1] = float32(o.beta2*c[1]) + new2
	// rate*(m/c1)/(sqrt(v/c2)+eps) = step*m/(sqrt(v)+bar), one division less.
	root := sqrt(c[1])
	step := float32(rate*o.learningRate) * root / c[0]
	bar := float32(o.epsilon * root)
	for i := range params {
		g := grad[i]
		mi := float32(o.beta1*m[i]) + float32(new1*g)
		vi := float32(o.beta2*v[i]) + float32(new2*float32(g*g))
		m[i], v[i] = mi, vi
		params[i] -= float32(step*mi) / (sqrt(vi) + bar)
	}
}

// sqrt is the float32 square root, correctly rounded: the compiler has one
// instruction for this form.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
