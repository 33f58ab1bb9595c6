package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/model/layer"
	"github.com/thalweg/thalweg/pipeline/schedule"
)

// averaging is data-parallel stochastic gradient descent with parameter averaging: in a
// round each replica makes sync_every steps of the optimizer, one a batch, and
// parameters and optimizer state are then averaged.
//
// The outer optimizer may go another way than to the average: it takes the way there
// for a gradient (DiLoCo, Douillard et al. 2023). Its velocity is part of the state
// that workers share, and follows from averages, so no replica contributes to it.
//
// The candidate is the mean of the parameters at the ends of the rounds in the
// second half of an epoch: the steps of a constant learning rate end in noise
// around the optimum, which the mean is rid of (Polyak and Juditsky 1992).
type averaging struct {
	model     *model.Model
	trainer   *pipeline.Trainer
	optimizer Optimizer
	schedule  schedule.Schedule // nil: constant
	params    int
	// weights are the parts of the parameters that regularization applies to, as
	// [from, to), adjacent ones joined.
	weights [][2]int
	// tracked are the statistics among them, which are averaged and nothing else.
	tracked []layer.View
	// wide: steps are made of the parameters that their batch touches.
	wide bool
	// narrows: batches are kept as narrowed, since what a step moves fits no cache.
	narrows bool
	// decay and rate are of weight decay.
	decay, rate float64
}

func newAveraging(m *model.Model, t *pipeline.Trainer, o Optimizer) (*averaging, error) {
	a := &averaging{model: m, trainer: t, optimizer: o, params: m.Size()}
	for _, v := range m.Views() {
		if v.Tracked {
			a.tracked = append(a.tracked, v)
		}
		if v.Bias {
			continue
		}
		from, to := v.Offset, v.Offset+v.Size()
		if k := len(a.weights) - 1; k >= 0 && a.weights[k][1] == from {
			a.weights[k][1] = to
		} else {
			a.weights = append(a.weights, [2]int{from, to})
		}
	}
	a.schedule, _ = t.LearningRateScheduler.Options.(schedule.Schedule)
	p, ok := o.(Penalizable)
	if r := t.Regularization; !ok && (r.L1 > 0 || r.Decoupled) {
		return nil, fmt.Errorf("it has neither l1 nor decoupled decay")
	}
	if ok {
		a.rate = p.Rate()
	}
	if d, ok := o.(pipeline.Decayer); ok {
		a.decay = d.Decay()
	}
	if f, ok := o.(*FTRL); ok {
		a.optimizer = f.forWeights(a.weights)
	} else if t.Regularization.L1 > 0 {
		a.optimizer = &lasso{Penalizable: p, weights: a.weights}
	}
	// Rules that settle keep account of every weight in every step.
	_, settles := a.optimizer.(settler)
	a.wide = !settles && m.Tables() != nil && wide(m.Shape(), int(t.BatchSize))
	a.narrows = a.contributed() >= leastNarrowed
	return a, nil
}

// contributed is how much of State.Vector replicas contribute to: parameters and the
// optimizer's state.
func (a *averaging) contributed() int { return a.params + a.optimizer.StateSize(a.params) }

// Size counts the velocity of the outer optimizer too.
func (a *averaging) Size() int {
	if a.trainer.Distributed.OuterOptimizer.Momentum > 0 {
		return a.contributed() + a.params
	}
	return a.contributed()
}

func (a *averaging) Schedule(batches int) Schedule {
	steps := int(a.trainer.Distributed.SyncEvery)
	return Schedule{Rounds: (batches + steps - 1) / steps, Passes: 1, Anneals: a.anneals(batches)}
}

// atRest is the share of the learning rate at which steps no longer wander.
const atRest = 0.01

// anneals reports whether the learning rate has fallen to about nothing by the last step.
func (a *averaging) anneals(batches int) bool {
	if _, waits := a.schedule.(pipeline.Staller); a.schedule == nil || waits {
		return false
	}
	all := int(a.trainer.Epochs) * batches
	return schedule.Factor(a.schedule, schedule.At{Step: all, Epoch: batches, All: all}) <= atRest
}

func (a *averaging) Zeros(*State, Round) kernel.Vector {
	return kernel.Vector{Float32: make([]float32, a.contributed())}
}

func (a *averaging) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error) {
	vector := slices.Clone(s.Vector[:a.contributed()])
	params, state := vector[:a.params], vector[a.params:]
	stepper := a.stepper(r.Rows)
	weights, gradient := a.weights, r.Gradient
	var touched *touched
	if a.wide {
		touched = newTouched(a.model, a.optimizer, vector, r.Gradient)
	}
	from := at.Index * int(a.trainer.Distributed.SyncEvery)
	now := schedule.At{Step: at.Epoch*r.Batches + from, Epoch: r.Batches, All: int(a.trainer.Epochs) * r.Batches, Reductions: s.Reductions}
	for step, err := range r.Steps(at.Epoch, from, from+int(a.trainer.Distributed.SyncEvery)) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		if touched == nil {
			loss += a.model.Gradient(r.Workspace, params, step.Block, step.Seed, gradient)
		} else {
			var more float64
			var n *narrowed
			if a.narrows {
				n = touched.narrow(a.model, step)
			}
			if n != nil {
				more, params, gradient, state = touched.learn(r.Workspace, n, step)
			} else {
				more = a.model.AddGradient(r.Workspace, vector[:a.params], step.Block, step.Seed, r.Gradient)
				params, gradient, state = touched.take(step.Block)
			}
			loss += more
			weights = [][2]int{{0, len(params) - a.model.Outputs()}}
		}
		stepper.step(params, gradient, state, weights, now)
		now.Step++
		if touched != nil {
			touched.put()
		}
		if a.model.Tracks() {
			a.model.Track(r.Workspace, params)
		}
	}
	return kernel.Vector{Float32: vector}, loss, nil
}

// stepper makes steps of a training of so many rows, over which penalties are spread.
type stepper struct {
	*averaging
	optimizer Optimizer
	l2, decay float64
}

func (a *averaging) stepper(rows int64) stepper {
	s, r := stepper{averaging: a, optimizer: a.optimizer, decay: a.decay}, a.trainer.Regularization
	if l, ok := a.optimizer.(*lasso); ok {
		s.optimizer = &lasso{l.Penalizable, float32(r.L1 / float64(rows)), l.weights}
	}
	if s.l2 = r.L2 / float64(rows); r.Decoupled {
		s.l2, s.decay = 0, s.decay+s.l2
	}
	return s
}

// step moves params by the gradient of a mean loss, to which it adds the penalties of the
// weights, at a point of the schedule.
func (s *stepper) step(params, gradient, state []float32, weights [][2]int, now schedule.At) {
	scale := 1.0
	if s.schedule != nil {
		scale = schedule.Factor(s.schedule, now)
	}
	for _, w := range weights {
		if s.l2 > 0 {
			kernel.AddScaled(gradient[w[0]:w[1]], params[w[0]:w[1]], float32(s.l2))
		}
		if s.decay > 0 {
			kernel.Scale(params[w[0]:w[1]], float32(1-float64(s.rate*scale*s.decay)))
		}
	}
	s.clip(gradient)
	s.optimizer.Step(params, gradient, state, float32(scale))
}

// clip bounds a gradient as PyTorch's clip_grad_value_ and clip_grad_norm_ do.
func (a *averaging) clip(gradient []float32) {
	c := a.trainer.GradientClipping
	if c == nil {
		return
	}
	if most := float32(c.Value); most > 0 {
		for i, g := range gradient {
			gradient[i] = min(max(g, -most), most)
		}
	}
	if c.GlobalNorm > 0 {
		if norm := math.Sqrt(dot(gradient, gradient)); norm > c.GlobalNorm {
			kernel.Scale(gradient, float32(c.GlobalNorm/(norm+1e-6)))
		}
	}
}

// Apply asks for a checkpoint when steps_per_checkpoint steps were made, rounded
// up to the end of a round.
func (a *averaging) Apply(s *State, at Round, mean kernel.Vector) (checkpoint bool, err error) {
	s.Vector = a.outer(s.Vector, mean.Float32)
	if o, ok := a.optimizer.(settler); ok {
		if &s.Vector[0] == &mean.Float32[0] {
			s.Vector = slices.Clone(s.Vector)
		}
		o.Settle(s.Vector[:a.params], s.Vector[a.params:a.contributed()])
	}
	if at.Index >= at.Count/2 {
		s.Blend(slices.Clip(s.Vector[:a.params]))
		if at.Last() && s.Blended > 1 {
			a.keepZeros(s)
		}
	}
	every := a.trainer.StepsPerCheckpoint
	if every == 0 {
		return false, nil
	}
	sync := int(a.trainer.Distributed.SyncEvery)
	return (at.Index+1)%((every+sync-1)/sync) == 0, nil
}

// keepZeros makes the candidate zero where the parameters have ended at zero, for a
// rule that brings weights there: a mean of what they were is not.
func (a *averaging) keepZeros(s *State) {
	if _, ok := a.optimizer.(settler); !ok {
		return
	}
	s.Candidate = slices.Clone(s.Candidate)
	for _, w := range a.weights {
		for i := w[0]; i < w[1]; i++ {
			if s.Vector[i] == 0 {
				s.Candidate[i] = 0
			}
		}
	}
}

// outer returns the vector after an average: the mean, or where the outer optimizer
// goes. Of its velocity v, with g the way back from the mean,
//
//	v = momentum*v + g
//	w -= rate*v, or rate*(g + momentum*v) with nesterov
func (a *averaging) outer(before, mean []float32) []float32 {
	o := a.trainer.Distributed.OuterOptimizer
	if o.Plain() {
		return mean
	}
	after := make([]float32, a.Size())
	copy(after, mean)
	rate, momentum := float32(o.LearningRate), float32(o.Momentum)
	velocity := after[a.contributed():]
	for i := range a.params {
		g := before[i] - mean[i]
		if momentum > 0 {
			v := float32(momentum*before[a.contributed()+i]) + g
			velocity[i] = v
			if o.Nesterov {
				g += float32(momentum * v)
			} else {
				g = v
			}
		}
		after[i] = before[i] - float32(rate*g)
	}
	for _, v := range a.tracked {
		copy(v.Of(after), v.Of(mean))
		if momentum > 0 {
			clear(v.Of(velocity))
		}
	}
	return after
}

// Evaluated implements the interface of this name.
func (a *averaging) Evaluated(s *State, stale int) {
	if p, ok := a.schedule.(pipeline.Staller); ok && stale > 0 && stale%p.Stalls() == 0 {
		s.Reductions++
	}
}
