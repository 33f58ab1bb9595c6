package optim

import (
	"fmt"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Algorithm is a way to train, a state machine over exchanges: an epoch is a fixed
// number of rounds; in each, every replica computes a vector from its rows and the
// state, the vectors are reduced to one, and the state moves on. Then the candidate
// is evaluated, and the next epoch begins.
//
// Rows, memory, moving replicas, resuming, the ledger, evaluation and stopping
// are the same for all algorithms, and worker/train's. An Algorithm is immutable,
// and what it computes depends on its arguments only and is added up in a fixed
// order: the bits must be the same on every worker.
type Algorithm interface {
	// Size is the length of State.Vector.
	Size() int
	// Schedule lays out an epoch, given how many batches the largest replica has.
	Schedule(batches int) Schedule
	// Zeros returns a vector of zeros of the length and the type that replicas
	// contribute to a round, which may depend on the state. The type says how
	// contributions are reduced.
	Zeros(s *State, at Round) kernel.Vector
	// Contribute computes a replica's vector, and the sum of its rows' losses. A
	// weighted mean weighs by the rows that r yielded. It is called concurrently for
	// different replicas. The vector is not changed any more; the state must not be.
	Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error)
	// Apply makes s the state after a round. Its slices must be replaced, not
	// written: earlier states share them. Nor must reduced be written, which other
	// workers may still read. By the last round of an epoch there must
	// be a candidate. checkpoint asks for one, if the epoch does not end here.
	Apply(s *State, at Round, reduced kernel.Vector) (checkpoint bool, err error)
}

// Evaluated is an Algorithm that is told of evaluations: how many in a row were
// without improvement of the validation metric.
type Evaluated interface {
	Evaluated(s *State, stale int)
}

// Weighing is an Algorithm that must know the largest weight of a row.
type Weighing interface {
	// Weigh returns the algorithm for rows of weights of a mean of about 1.
	Weigh(most float64) Algorithm
}

// Schedule is the shape of an epoch.
type Schedule struct {
	// Rounds is how many exchanges an epoch has, at least 1.
	Rounds int
	// Passes is how often an epoch uses each row, over all rounds.
	Passes int
	// Converges: training goes on until State.Converged, and the last epoch's
	// candidate is the result, whatever the validation rows say.
	Converges bool
	// PreferLater: the result is the latest epoch whose validation metric is within about its
	// standard error of the best.
	PreferLater bool
	// Anneals: steps come to rest at the last epoch. Of epochs that few validation rows cannot tell
	// apart by their log loss the latest is the result.
	Anneals bool
}

// Round is round Index of Count of an epoch, all from 0.
type Round struct{ Epoch, Index, Count int }

// Last reports whether the round ends its epoch.
func (r Round) Last() bool { return r.Index+1 == r.Count }

// State is what an algorithm keeps from round to round.
type State struct {
	// Vector is the model's parameters and behind them what else the algorithm
	// keeps, all zero at first; nil before training begins.
	Vector []float32 `json:"-"`
	// Candidate is the parameters that the epoch is judged by: the mean of those that
	// were given to Blend in the epoch, Blended in number. nil: none yet.
	Candidate []float32 `json:"-"`
	Blended   int       `json:"blended"`
	// Numbers are what an algorithm keeps besides in double precision, a few. Apply
	// must replace the slice.
	Numbers []float64 `json:"numbers,omitempty"`
	// Integers are exact sums that an algorithm keeps, of any lengths. Apply must
	// replace a slice that it changes, and the slice of slices.
	Integers [][]int64 `json:"-"`
	// Reductions is how often the learning rate was reduced for want of improvement.
	Reductions int `json:"reductions,omitempty"`
	// Converged ends training with the epoch.
	Converged bool `json:"converged,omitempty"`
}

// Blend takes parameters, which are kept, into the candidate.
func (s *State) Blend(params []float32) {
	if s.Blended > 0 {
		mean := make([]float32, len(params))
		kernel.Blend(mean, s.Candidate, params, 1/float64(s.Blended+1))
		params = mean
	}
	s.Candidate = params
	s.Blended++
}

// Replica is one replica's rows, and the memory of the goroutine that works on
// them.
type Replica struct {
	// Workspace is for the job's model.
	Workspace *model.Workspace
	// Rows is how many training rows all replicas have together.
	Rows int64
	// Before is how many of them the replicas before have.
	Before int64
	// Batches is how many the largest replica has: the steps of an epoch.
	Batches int
	// Gradient is memory of the parameters' length, with anything in it.
	Gradient []float32
	// Steps yields batches [from, to) of an epoch, in the epoch's order, as far as
	// the replica has them. The ledger counts their rows as used. After an error
	// nothing is yielded.
	Steps func(epoch, from, to int) iter.Seq2[Step, error]
	// Again yields batches as Steps does, but without labels, and the ledger does not
	// count them: an earlier round of the epoch has used the rows.
	Again func(epoch, from, to int) iter.Seq2[Step, error]
}

// Step is one batch of rows, with labels as the loss learns them. Its memory is
// valid until the next.
type Step struct {
	*kernel.Block
	// Seed is what the step draws at random from.
	Seed uint64
	// Keys are hashes of what rows they are, whatever the batch, of a model of trees that
	// samples them; else nil.
	Keys []uint32
	// Memo is what the algorithm keeps of the batch from step to step: it must be a
	// function of job and state, as it is nil again when the replica has moved.
	Memo *any
	// Reserve takes so many bytes of memory for the memo, or reports that they are not
	// there. nil: nothing may be kept.
	Reserve func(bytes int64) bool
	// Label sets the labels of a batch unless it has them.
	Label func()
}

// Spillable is a memo that may lie on disk between two steps.
type Spillable interface {
	// Bytes is how much memory it takes.
	Bytes() int
	// Spill appends all that it holds to dst.
	Spill(dst []byte) []byte
	// Restore makes it what Spill has appended, maybe that of another batch's memo.
	Restore(src []byte)
}

// Spec is the options of an entry of the catalog that is an algorithm of its own.
// The others are an Optimizer.
type Spec interface {
	// New returns the algorithm that trains a model.
	New(m *model.Model, t *pipeline.Trainer) (Algorithm, error)
}

// Resolver is a Spec that has values of its own for what a trainer leaves to auto.
type Resolver interface {
	// Resolve returns a trainer with some autos replaced by what suits a model of such
	// options and so many training rows.
	Resolve(t pipeline.Trainer, model any, rows int64) pipeline.Trainer
}

// WithoutSteps is Without (pipeline.Restricted) of a Spec that makes no steps on batches.
func WithoutSteps(hint string) map[string]string {
	return map[string]string{"learning_rate_scheduler": hint, "gradient_clipping": hint, "regularization.decoupled": hint, "distributed.outer_optimizer": hint, "privacy": hint}
}

// New returns the algorithm that a trainer's optimizer chooses: one of its own, or
// SGD with averaging by an update rule. It fails with Unsupported for a choice that is
// neither, and with Invalid for hyperparameters out of range.
func New(m *model.Model, t *pipeline.Trainer) (Algorithm, error) {
	const op = "build optimizer"
	if !t.Allows(t.Optimizer.Options) {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: t.Optimizer.Name, Err: fmt.Errorf("the trainer has fields that it has no meaning for")}
	}
	switch o := t.Optimizer.Options.(type) {
	case Spec:
		return o.New(m, t)
	case Optimizer:
		err := o.Validate()
		if err == nil && t.Privacy != nil {
			var a *private
			if a, err = newPrivate(m, t, o); err == nil {
				return a, nil
			}
		} else if err == nil {
			var a *averaging
			if a, err = newAveraging(m, t, o); err == nil {
				return a, nil
			}
		}
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: t.Optimizer.Name, Err: err}
	}
	return nil, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("optimizer type %q", t.Optimizer.Name)}
}
