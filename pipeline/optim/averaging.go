package optim

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// averaging is data-parallel stochastic gradient descent with parameter averaging: in a
// round each replica makes sync_every steps of the optimizer, one a batch, and
// parameters and optimizer state are then averaged.
//
// The candidate is the mean of the parameters at the ends of the rounds in the
// second half of an epoch: the steps of a constant learning rate end in noise
// around the optimum, which the mean is rid of (Polyak and Juditsky 1992).
type averaging struct {
	model     *model.Model
	trainer   *pipeline.Trainer
	optimizer Optimizer
	params    int
	// weights are the parts of the parameters that regularization applies to, as
	// [from, to), adjacent ones joined.
	weights [][2]int
	// wide: steps are made of the parameters that their batch touches.
	wide bool
}

func newAveraging(m *model.Model, t *pipeline.Trainer, o Optimizer) *averaging {
	a := &averaging{model: m, trainer: t, optimizer: o, params: m.Size()}
	for _, v := range m.Views() {
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
	a.wide = m.Tables() != nil && wide(m.Shape(), int(t.BatchSize))
	return a
}

// Size counts the parameters and the optimizer's state.
func (a *averaging) Size() int { return a.params + a.optimizer.StateSize(a.params) }

func (a *averaging) Schedule(batches int) Schedule {
	steps := int(a.trainer.Distributed.SyncEvery)
	return Schedule{Rounds: (batches + steps - 1) / steps, Passes: 1}
}

func (a *averaging) Zeros(*State, Round) kernel.Vector {
	return kernel.Vector{Float32: make([]float32, a.Size())}
}

func (a *averaging) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error) {
	vector := make([]float32, len(s.Vector))
	copy(vector, s.Vector)
	params, state := vector[:a.params], vector[a.params:]
	l2 := float32(a.trainer.Regularization.L2 / float64(r.Rows))
	weights, gradient := a.weights, r.Gradient
	var touched *touched
	if a.wide {
		touched = newTouched(a.model, a.optimizer, vector, r.Gradient)
	}
	from := at.Index * int(a.trainer.Distributed.SyncEvery)
	for step, err := range r.Steps(at.Epoch, from, from+int(a.trainer.Distributed.SyncEvery)) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		if touched == nil {
			loss += a.model.Gradient(r.Workspace, params, step.Block, step.Seed, gradient)
		} else {
			loss += a.model.AddGradient(r.Workspace, vector[:a.params], step.Block, step.Seed, r.Gradient)
			params, gradient, state = touched.take(step.Block)
			weights = [][2]int{{0, len(params) - a.model.Outputs()}}
		}
		if l2 > 0 {
			for _, w := range weights {
				kernel.AddScaled(gradient[w[0]:w[1]], params[w[0]:w[1]], l2)
			}
		}
		a.optimizer.Step(params, gradient, state)
		if touched != nil {
			touched.put()
		}
	}
	return kernel.Vector{Float32: vector}, loss, nil
}

// Apply asks for a checkpoint when steps_per_checkpoint steps were made, rounded
// up to the end of a round.
func (a *averaging) Apply(s *State, at Round, mean kernel.Vector) (checkpoint bool, err error) {
	s.Vector = mean.Float32
	if at.Index >= at.Count/2 {
		s.Blend(slices.Clip(s.Vector[:a.params]))
	}
	every := a.trainer.StepsPerCheckpoint
	if every == 0 {
		return false, nil
	}
	sync := int(a.trainer.Distributed.SyncEvery)
	return (at.Index+1)%((every+sync-1)/sync) == 0, nil
}
