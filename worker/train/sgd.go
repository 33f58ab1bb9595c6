package train

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// sgd is data-parallel stochastic gradient descent with parameter averaging: in a
// round each replica makes sync_every steps of the optimizer, one a batch, and
// parameters and optimizer state are then averaged.
//
// The candidate is the mean of the parameters at the ends of the rounds in the
// second half of an epoch: the steps of a constant learning rate end in noise
// around the optimum, which the mean is rid of (Polyak and Juditsky 1992).
type sgd struct {
	job       *Job
	optimizer optim.Optimizer
	params    int
	// weights are the parts of the parameters that regularization applies to, as
	// [from, to), adjacent ones joined.
	weights [][2]int
}

func newSGD(job *Job) (Algorithm, error) {
	optimizer, err := optim.New(job.Trainer.Optimizer)
	if err != nil {
		return nil, err
	}
	a := &sgd{job: job, optimizer: optimizer, params: job.Model.Size()}
	for _, v := range job.Model.Views() {
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
	return a, nil
}

// Size counts the parameters and the optimizer's state.
func (a *sgd) Size() int { return a.params + a.optimizer.StateSize(a.params) }

func (a *sgd) Course(batches int) Course {
	steps := a.job.Trainer.Distributed.SyncEvery
	return Course{Rounds: (batches + steps - 1) / steps, Passes: 1}
}

func (a *sgd) Exchange(Place) kernel.Vector {
	return kernel.Vector{Float32: make([]float32, a.Size())}
}

func (a *sgd) Contribute(r *Replica, s *State, at Place) (v kernel.Vector, loss float64, err error) {
	trainer := &a.job.Trainer
	vector := make([]float32, len(s.Vector))
	copy(vector, s.Vector)
	params, state := vector[:a.params], vector[a.params:]
	l2 := float32(trainer.Regularization.L2)
	from := at.Round * trainer.Distributed.SyncEvery
	for step, err := range r.Steps(at.Epoch, from, from+trainer.Distributed.SyncEvery) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		loss += a.job.Model.Gradient(r.Workspace, params, step.Block, step.Seed, r.Gradient)
		if l2 > 0 {
			for _, w := range a.weights {
				kernel.AddScaled(r.Gradient[w[0]:w[1]], params[w[0]:w[1]], l2)
			}
		}
		a.optimizer.Step(params, r.Gradient, state)
	}
	return kernel.Vector{Float32: vector}, loss, nil
}

// Apply asks for a checkpoint when steps_per_checkpoint steps were made, rounded
// up to the end of a round.
func (a *sgd) Apply(s *State, at Place, mean kernel.Vector) (checkpoint bool, err error) {
	s.Vector = mean.Float32
	if at.Round >= at.Rounds/2 {
		s.Blend(slices.Clip(s.Vector[:a.params]))
	}
	every := a.job.Trainer.StepsPerCheckpoint
	if every == 0 {
		return false, nil
	}
	sync := a.job.Trainer.Distributed.SyncEvery
	return (at.Round+1)%((every+sync-1)/sync) == 0, nil
}
