package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/privacy"
	"github.com/thalweg/thalweg/pipeline/schedule"
)

// Private is an Algorithm whose state tells little of any one row, by noise that follows from
// a secret.
type Private interface {
	Algorithm
	// With returns the algorithm that draws from a source.
	With(privacy.Source) Algorithm
	// Spent describes what so many rounds of training on so many rows have spent.
	Spent(rows int64, rounds int64) Spent
}

// Spent is what private training has told of any one row at most.
type Spent struct {
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"`
	Steps   int64   `json:"steps"`
	Rate    float64 `json:"sampling_rate"`
	Noise   float64 `json:"noise_multiplier"`
	Order   float64 `json:"renyi_order"`
}

// private is DP-SGD (Abadi et al. 2016). A round is one step of all replicas together, of a Poisson
// sample of all rows: in it each row's gradient, shortened to the clip norm, is added up, the sum
// gets noise once, and every worker makes the same step of the optimizer. Averaging would need
// noise in each replica's own steps: more of it, by the square root of the replicas.
type private struct {
	*averaging
	options pipeline.Privacy
	source  *privacy.Source // nil: not there yet
}

func newPrivate(m *model.Model, t *pipeline.Trainer, o Optimizer) (*private, error) {
	plain := *t
	plain.Regularization.L1, plain.GradientClipping = 0, nil
	a, err := newAveraging(m, &plain, o)
	if err == nil && m.Tracks() {
		err = fmt.Errorf("batch normalization keeps statistics of the training rows, which trainer.privacy does not cover: write normalization: layer")
	}
	return &private{averaging: a, options: *t.Privacy}, err
}

// With implements Private.
func (a *private) With(s privacy.Source) Algorithm {
	with := *a
	with.source = &s
	return &with
}

// Size is that of parameters and the optimizer's state.
func (a *private) Size() int { return a.contributed() }

// Schedule has a round for each batch, which goes over all rows: those in its sample may be anywhere.
func (a *private) Schedule(batches int) Schedule {
	return Schedule{Rounds: batches, Passes: batches}
}

// Zeros has room for the sum of gradients and the number of rows.
func (a *private) Zeros(*State, Round) kernel.Vector {
	return kernel.Vector{Float64: make([]float64, a.params+1)}
}

// share is how many of all rows a step is of.
func (a *private) share(rows int64) float64 {
	return min(1, float64(a.trainer.BatchSize)*float64(a.trainer.Distributed.Replicas)/float64(rows))
}

func (a *private) mechanism(rows int64) privacy.Mechanism {
	return privacy.Mechanism{Rate: a.share(rows), Noise: a.options.NoiseMultiplier}
}

// Spent implements Private.
func (a *private) Spent(rows, rounds int64) Spent {
	m := a.mechanism(rows)
	epsilon, order := m.Epsilon(rounds, a.options.Delta)
	return Spent{epsilon, a.options.Delta, rounds, m.Rate, m.Noise, order}
}

// Contribute adds up the shortened gradients of the replica's rows in the step's sample. What the
// rows lost is not told: it would have no noise.
func (a *private) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error) {
	v = a.Zeros(s, at)
	number := int64(at.Epoch)*int64(at.Count) + int64(at.Index)
	if a.source == nil {
		return v, 0, &thalweg.Error{Op: "train privately", Kind: thalweg.Invalid, Subject: "trainer.privacy.key", Err: fmt.Errorf("there is no key to draw noise by")}
	}
	if err := a.affordable(r.Rows, at); err != nil {
		return v, 0, err
	}
	var in []int
	var row kernel.Block
	for step, err := range r.Steps(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		v.Float64[a.params] += float64(step.Rows)
		in = a.source.Sample(in[:0], number, step.Seed, step.Rows, a.share(r.Rows))
		for _, i := range in {
			step.Row(i, &row)
			a.model.Gradient(r.Workspace, s.Vector[:a.params], &row, step.Seed+uint64(i), r.Gradient)
			scale := 1.0
			if norm := math.Sqrt(dot(r.Gradient, r.Gradient)); norm > a.options.ClipNorm {
				scale = a.options.ClipNorm / norm
			}
			kernel.Accumulate(v.Float64[:a.params], r.Gradient, scale)
		}
	}
	return v, 0, nil
}

// affordable fails before the first step where not even one epoch may be spent.
func (a *private) affordable(rows int64, at Round) error {
	most := a.options.EpsilonMax
	if at.Epoch > 0 || at.Index > 0 || most == 0 {
		return nil
	}
	if one := a.Spent(rows, int64(at.Count)); one.Epsilon > most {
		return &thalweg.Error{Op: "train privately", Kind: thalweg.Invalid, Subject: "trainer.privacy.epsilon_max",
			Err:  fmt.Errorf("one epoch of %d steps on samples of %.2g %% of %d rows spends ε %.3g at δ %.2g, more than %.3g", at.Count, 100*one.Rate, rows, one.Epsilon, one.Delta, most),
			Hint: "write a larger noise_multiplier or epsilon_max, or a smaller batch_size: fewer rows a step tell less of each"}
	}
	return nil
}

// Apply makes the step, and ends training where another epoch would spend too much.
func (a *private) Apply(s *State, at Round, reduced kernel.Vector) (checkpoint bool, err error) {
	rows := int64(reduced.Float64[a.params])
	if rows == 0 || a.source == nil {
		return false, &thalweg.Error{Op: "train privately", Kind: thalweg.Corrupt, Err: fmt.Errorf("a step of %d rows", rows)}
	}
	number := int64(at.Epoch)*int64(at.Count) + int64(at.Index)
	sums := slices.Clone(reduced.Float64[:a.params])
	a.source.Add(sums, number, float64(a.options.NoiseMultiplier*a.options.ClipNorm))
	expected := float64(a.share(rows) * float64(rows)) // and not how many there were, which would tell of each
	gradient := make([]float32, a.params)
	for i := range gradient {
		gradient[i] = float32(sums[i] / expected)
	}
	s.Vector = slices.Clone(s.Vector)
	params, state := s.Vector[:a.params], s.Vector[a.params:]
	stepper := a.stepper(rows)
	stepper.step(params, gradient, state, a.weights, schedule.At{Step: int(number), Epoch: at.Count, All: int(a.trainer.Epochs) * at.Count, Reductions: s.Reductions})
	if at.Index >= at.Count/2 {
		s.Blend(slices.Clone(params))
	}
	if at.Last() && a.options.EpsilonMax > 0 {
		next := a.Spent(rows, int64(at.Epoch+2)*int64(at.Count))
		s.Converged = next.Epsilon > a.options.EpsilonMax
	}
	return false, nil
}
