package train

import (
	"context"
	"fmt"
	"iter"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Algorithm is a way to train: the part of the state machine that is its own.
// An epoch is a fixed number of rounds, each an exchange: every replica computes
// a vector from its rows and the state, the vectors are reduced to one, and the
// state moves on. Then the candidate is evaluated, and the next epoch begins.
//
// Rows, memory, moving replicas, resuming, the ledger, evaluation and stopping
// are the same for all algorithms, and the trainer's. An Algorithm is immutable,
// and what it computes depends on its arguments only and is added up in a fixed
// order: the bits must be the same on every worker.
type Algorithm interface {
	// Size is the length of State.Vector.
	Size() int
	// Course lays out an epoch, given how many batches the largest replica has.
	Course(batches int) Course
	// Exchange returns a vector of zeros of the length and the type that replicas
	// contribute to a round. The type says how contributions are reduced.
	Exchange(at Place) kernel.Vector
	// Contribute computes a replica's vector, and the sum of its rows' losses. A
	// weighted mean weighs by the rows that r yielded. It is called concurrently for
	// different replicas. The vector is not changed any more; the state must not be.
	Contribute(r *Replica, s *State, at Place) (v kernel.Vector, loss float64, err error)
	// Apply makes s the state after a round. Its slices must be replaced, not
	// written: earlier states share them. By the last round of an epoch there must
	// be a candidate. checkpoint asks for one, if the epoch does not end here.
	Apply(s *State, at Place, reduced kernel.Vector) (checkpoint bool, err error)
}

// Course is the shape of an epoch.
type Course struct {
	// Rounds is how many exchanges an epoch has, at least 1.
	Rounds int
	// Passes is how often an epoch uses each row, over all rounds.
	Passes int
}

// Place is a round in the course of a run.
type Place struct{ Epoch, Round, Rounds int }

// Last reports whether the round ends its epoch.
func (p Place) Last() bool { return p.Round+1 == p.Rounds }

// Replica is one replica's rows, and the memory of the goroutine that works on
// them.
type Replica struct {
	// Workspace is for the job's model.
	Workspace *model.Workspace
	// Gradient is memory of the parameters' length, with anything in it.
	Gradient []float32

	ctx     context.Context
	index   int
	seed    uint64
	matrix  *matrix
	scratch *scratch
	labels  model.Scale
	used    Tally
}

// Step is one batch of rows, with labels as the loss learns them. Its memory is
// valid until the next.
type Step struct {
	*kernel.Block
	// Seed is what the step draws at random from.
	Seed uint64
}

// Steps yields batches [from, to) of an epoch, in the epoch's order, as far as
// the replica has them. The ledger counts their rows as used. After an error
// nothing is yielded.
func (r *Replica) Steps(epoch, from, to int) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		for _, at := range r.matrix.blocks(r.seed, r.index, epoch, from, to) {
			b := &r.matrix.training[at]
			err := r.matrix.store.open(b, r.scratch, r.labels)
			if r.ctx.Err() != nil {
				err = canceled(r.ctx)
			}
			if err != nil {
				yield(Step{}, err)
				return
			}
			r.used.Add(b.tally)
			if !yield(Step{Block: &r.scratch.Block, Seed: stepSeed(r.seed, r.index, epoch, at)}, nil) {
				return
			}
		}
	}
}

// AlgorithmSpec is the options of an entry of the kind pipeline.Optimizers that is
// an algorithm of its own. Other entries are update rules, and sgd makes their
// steps.
type AlgorithmSpec interface {
	// NewAlgorithm returns the algorithm of a job, which is valid.
	NewAlgorithm(job *Job) (Algorithm, error)
}

// newAlgorithm returns the algorithm that a job's optimizer chooses.
func newAlgorithm(job *Job) (Algorithm, error) {
	if spec, ok := job.Trainer.Optimizer.Options.(AlgorithmSpec); ok {
		return spec.NewAlgorithm(job)
	}
	return newSGD(job)
}

// element names an element of a contribution to a round for people.
func element(m model.Model, v kernel.Vector, at int) string {
	switch {
	case at < 0:
		return "the loss"
	case v.Float32 == nil:
		return fmt.Sprintf("element %d of the contribution", at)
	case at >= m.Size():
		return fmt.Sprintf("element %d of the optimizer's state", at-m.Size())
	}
	for _, v := range m.Views() {
		if at < v.Offset+v.Size() {
			return fmt.Sprintf("element %d of %s", at-v.Offset, v.Name)
		}
	}
	return fmt.Sprintf("parameter %d", at)
}
