package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// New implements Spec.
func (o *LBFGS) New(m *model.Model, t *pipeline.Trainer) (Algorithm, error) {
	warm := *t
	warm.Distributed.SyncEvery = math.MaxInt // a round is an epoch
	warm.Regularization.L1 = 0
	sgd, err := newAveraging(m, &warm, defaultAdam())
	return &lbfgs{LBFGS: *o, warm: sgd, params: m.Size(), l1: t.Regularization.L1, l2: t.Regularization.L2}, err
}

// Refuses implements pipeline.Demanding.
func (*LBFGS) Refuses(options any) string {
	if model.Convex(pipeline.Choice{Options: options}) {
		return ""
	}
	return "its loss has more than one minimum, of which validation rows must choose"
}

// Without implements pipeline.Restricted.
func (*LBFGS) Without() map[string]string {
	return WithoutSteps("leave it out, or choose an optimizer such as adam")
}

// lbfgs is the algorithm. Its vector, in parts of the parameters' length, is
//
//	trial · at · gradient · direction · (step, change of the gradient) × memory
//
// where trial is the parameters that are evaluated next, and the rest is of at, the
// best so far: the gradient there, and the direction in which trial lies. The
// epochs of SGD keep their state in the second part and behind.
//
// Everything is computed in float64 and kept in float32: a step is the exact
// difference of two vectors, and the gradient's own rounding falls with it.
type lbfgs struct {
	LBFGS
	warm   *averaging
	params int
	l1, l2 float64
}

// The numbers in State.Numbers.
const (
	numLoss  = iota // at at
	numSlope        // of the loss in the direction
	numRate         // trial is at + rate * direction
	numTries        // evaluations in this direction
	numPairs        // steps that were kept, ever
	numStill        // steps in a row whose decrease was lost in noise
	numCount
)

// Limits of the search along a direction.
const (
	sufficient = 1e-4 // of the decrease that the slope promises (Nocedal and Wright, equation 3.4)
	maxTries   = 20
	// lossNoise is how exactly a mean of losses of float32 predictions is known,
	// relative to it: beyond it no decrease can be seen.
	lossNoise = 1e-7
	// maxStill is how many steps without a visible decrease are made for the sake of
	// the gradient, which is known more exactly.
	maxStill = 5
)

// Size counts the vector's elements.
func (a *lbfgs) Size() int { return max((4+2*a.Memory)*a.params, a.warm.Size()) }

// Schedule is one evaluation an epoch, or one pass of SGD.
func (a *lbfgs) Schedule(int) Schedule {
	return Schedule{Rounds: 1, Passes: 1, Converges: true}
}

// Zeros has room for the sums of gradient and loss, and the number of rows.
func (a *lbfgs) Zeros(s *State, at Round) kernel.Vector {
	if at.Epoch < a.WarmEpochs {
		return a.warm.Zeros(s, at)
	}
	return kernel.Vector{Float64: make([]float64, a.params+2)}
}

// Contribute sums up gradients and losses of all rows.
func (a *lbfgs) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error) {
	if at.Epoch < a.WarmEpochs {
		return a.warm.Contribute(r, &State{Vector: s.Vector[:a.warm.Size()]}, at)
	}
	v = a.Zeros(s, at)
	sums := v.Float64[:a.params]
	for step, err := range r.Steps(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		loss += a.warm.model.Gradient(r.Workspace, s.Vector[:a.params], step.Block, step.Seed, r.Gradient)
		kernel.Accumulate(sums, r.Gradient, float64(step.Rows))
		v.Float64[a.params+1] += float64(step.Rows)
	}
	v.Float64[a.params] = loss
	return v, loss, nil
}

// Apply takes an evaluation of the trial: it is moved to, or the next is nearer.
func (a *lbfgs) Apply(s *State, at Round, reduced kernel.Vector) (checkpoint bool, err error) {
	vector := make([]float32, a.Size())
	if at.Epoch < a.WarmEpochs {
		copy(vector, reduced.Float32)
		if at.Epoch+1 == a.WarmEpochs {
			clear(vector[a.params:])
		}
		s.Vector = vector
		s.Blend(vector[:a.params:a.params])
		return false, nil
	}
	copy(vector, s.Vector)
	s.Vector = vector
	w := a.parts(vector)
	if s.Numbers = slices.Clone(s.Numbers); s.Numbers == nil {
		s.Numbers = make([]float64, numCount)
	}
	if len(s.Numbers) != numCount {
		return false, &thalweg.Error{Op: "train by lbfgs", Kind: thalweg.Corrupt, Err: fmt.Errorf("the state has %d numbers, not %d", len(s.Numbers), numCount)}
	}
	w.l1 = a.l1 / reduced.Float64[a.params+1]
	loss, gradient := a.objective(w.trial, reduced.Float64)
	s.Converged = a.step(w, s.Numbers, loss, gradient)
	s.Blend(slices.Clone(w.at))
	return false, nil
}

// objective returns the mean loss of the training rows with its penalties, and its
// gradient, that of l1 left out.
func (a *lbfgs) objective(params []float32, sums []float64) (loss float64, gradient []float64) {
	rows := sums[a.params+1]
	loss, gradient = sums[a.params]/rows, make([]float64, a.params)
	for i := range gradient {
		gradient[i] = sums[i] / rows
	}
	l1, l2 := a.l1/rows, a.l2/rows
	for _, v := range a.warm.weights {
		for i := v[0]; i < v[1]; i++ {
			x := float64(params[i])
			loss += float64(l2/2*float64(x*x)) + float64(l1*math.Abs(x))
			gradient[i] += float64(l2 * x)
		}
	}
	return loss, gradient
}

// parts of the vector.
type parts struct {
	trial, at, gradient, direction []float32
	steps, changes                 [][]float32 // a ring
	l1                             float64     // beside the mean loss
}

func (a *lbfgs) parts(vector []float32) parts {
	next := func() (part []float32) {
		part, vector = vector[:a.params:a.params], vector[a.params:]
		return part
	}
	w := parts{trial: next(), at: next(), gradient: next(), direction: next()}
	for range a.Memory {
		w.steps, w.changes = append(w.steps, next()), append(w.changes, next())
	}
	return w
}

// step goes on from the objective at the trial, and reports whether it has
// converged: no element of the gradient is larger than the tolerance, or decreases
// of the loss cannot be told from rounding any more.
func (a *lbfgs) step(w parts, n []float64, loss float64, gradient []float64) (converged bool) {
	first := n[numTries] == 0
	noise := float64(lossNoise * math.Abs(n[numLoss]))
	if !first && !(loss <= n[numLoss]+float64(sufficient*n[numRate]*n[numSlope])+noise) {
		// Along the parabola through what is known, but neither too near nor too far.
		rate := n[numRate]
		vertex := -n[numSlope] * rate * rate / (2 * (loss - n[numLoss] - float64(n[numSlope]*rate)))
		n[numRate] = min(max(vertex, rate/10), rate/2)
		n[numTries]++
		a.try(w, n)
		return n[numTries] > maxTries
	}
	if !first {
		if n[numStill]++; n[numLoss]-loss > noise {
			n[numStill] = 0
		}
		a.remember(w, n, gradient)
	}
	copy(w.at, w.trial)
	largest := 0.0
	for i, g := range gradient {
		w.gradient[i] = float32(g)
		largest = max(largest, math.Abs(g))
	}
	if w.l1 > 0 {
		largest = 0
		for _, g := range a.slopes(w) {
			largest = max(largest, math.Abs(g))
		}
	}
	n[numLoss] = loss
	if largest <= a.Tolerance || n[numStill] > maxStill {
		return true
	}
	n[numSlope] = a.direct(w, int(n[numPairs]))
	n[numRate], n[numTries] = 1, 1
	if n[numPairs] == 0 {
		// Nothing is known of the curvature: a step of length one at most.
		n[numRate] = min(1, 1/math.Sqrt(-n[numSlope]))
	}
	a.try(w, n)
	return false
}

// try sets the trial, and with l1 the slope on the way there.
func (a *lbfgs) try(w parts, n []float64) {
	rate := n[numRate]
	for i, x := range w.at {
		w.trial[i] = float32(float64(x) + float64(rate*float64(w.direction[i])))
	}
	if w.l1 == 0 {
		return
	}
	slopes := a.slopes(w)
	for _, v := range a.warm.weights {
		for i := v[0]; i < v[1]; i++ {
			side := float64(w.at[i])
			if side == 0 {
				side = -slopes[i]
			}
			if float64(w.trial[i])*side <= 0 {
				w.trial[i] = 0
			}
		}
	}
	gain := 0.0
	for i, g := range slopes {
		gain += float64(g * (float64(w.trial[i]) - float64(w.at[i])))
	}
	n[numSlope] = gain / rate
}

// slopes returns the gradient at at, with l1 that of the side on which the loss falls,
// and 0 where it rises to both.
func (a *lbfgs) slopes(w parts) []float64 {
	out := make([]float64, a.params)
	for i, g := range w.gradient {
		out[i] = float64(g)
	}
	for _, v := range a.warm.weights {
		for i := v[0]; i < v[1]; i++ {
			switch g, x := out[i], w.at[i]; {
			case x > 0, x == 0 && g < -w.l1:
				out[i] = g + w.l1
			case x < 0, x == 0 && g > w.l1:
				out[i] = g - w.l1
			case w.l1 > 0:
				out[i] = 0
			}
		}
	}
	return out
}

// remember keeps the step from at to trial, and how the gradient changed, unless
// the curvature along it is not positive.
func (a *lbfgs) remember(w parts, n []float64, gradient []float64) {
	slot := int(n[numPairs]) % a.Memory
	step, change := make([]float32, a.params), make([]float32, a.params)
	for i := range step {
		step[i] = float32(float64(w.trial[i]) - float64(w.at[i]))
		change[i] = float32(gradient[i] - float64(w.gradient[i]))
	}
	if curvature := dot(step, change); curvature > 1e-12*dot(change, change) {
		copy(w.steps[slot], step)
		copy(w.changes[slot], change)
		n[numPairs]++
	}
}

// direct sets the direction to minus the gradient times the estimate of the
// inverse Hessian that the last pairs give, by the two-loop recursion, and returns
// the slope in it.
func (a *lbfgs) direct(w parts, pairs int) (slope float64) {
	slopes := a.slopes(w)
	q := make([]float64, a.params)
	for i, g := range slopes {
		q[i] = -g
	}
	oldest := max(0, pairs-a.Memory)
	alphas := make([]float64, a.Memory)
	for k := pairs - 1; k >= oldest; k-- {
		s, y := w.steps[k%a.Memory], w.changes[k%a.Memory]
		alphas[k%a.Memory] = dot(s, q) / dot(s, y)
		addScaled(q, y, -alphas[k%a.Memory])
	}
	if pairs > 0 {
		s, y := w.steps[(pairs-1)%a.Memory], w.changes[(pairs-1)%a.Memory]
		scale := dot(s, y) / dot(y, y)
		for i := range q {
			q[i] *= scale
		}
	}
	for k := oldest; k < pairs; k++ {
		s, y := w.steps[k%a.Memory], w.changes[k%a.Memory]
		addScaled(q, s, alphas[k%a.Memory]-dot(y, q)/dot(s, y))
	}
	if w.l1 > 0 { // only where the loss falls
		for i, x := range q {
			if x*slopes[i] >= 0 {
				q[i] = 0
			}
		}
	}
	kernel.Narrow(w.direction, q, 1)
	return dot(slopes, w.direction)
}

// dot is the sum of products, in order and without fused operations: the same on
// every machine.
func dot[A, B float32 | float64](a []A, b []B) (sum float64) {
	b = b[:len(a)]
	for i := range a {
		sum += float64(float64(a[i]) * float64(b[i]))
	}
	return sum
}

func addScaled(dst []float64, v []float32, factor float64) {
	v = v[:len(dst)]
	for i := range dst {
		dst[i] += float64(factor * float64(v[i]))
	}
}
