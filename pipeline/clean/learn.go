package clean

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Learning shows one shard's training rows to the steps of a plan that have to
// learn, in one pass: each sees them as it finds them after the steps before that
// need not learn. It is for one goroutine.
type Learning struct {
	chain     *Chain
	observers map[string]pipeline.Observer // by step
}

// NewLearning returns a Learning with nothing seen.
func NewLearning(plan *pipeline.Plan) *Learning {
	l := &Learning{chain: New(plan, pipeline.InTraining), observers: make(map[string]pipeline.Observer)}
	for _, s := range l.chain.steps {
		if op, ok := s.op.(pipeline.Learner); ok {
			l.observers[s.name] = op.Observer()
		}
	}
	return l
}

// With makes the rows to come those of a shard of which shuffles found so much.
func (l *Learning) With(settled map[string]*pipeline.Settled) { l.chain = l.chain.With(settled) }

// Observe cleans a batch and shows it. assign returns the split of each row that
// is left; the rows of split 0 are for training.
func (l *Learning) Observe(ctx context.Context, batch arrow.Record, assign func(cleaned arrow.Record) ([]uint8, error)) error {
	found := make(map[string]arrow.Record)
	defer func() {
		for _, rec := range found {
			rec.Release()
		}
	}()
	l.chain.found = func(s step, rec arrow.Record) {
		rec.Retain()
		found[s.name] = rec
	}
	cleaned, err := l.chain.Apply(ctx, batch, nil)
	if err != nil {
		return err
	}
	defer cleaned.Release()
	parts, err := assign(cleaned)
	if err != nil {
		return err
	}
	training := make(map[int64]bool)
	for i, row := range table.Rows(cleaned) {
		if parts[i] == 0 {
			training[row] = true
		}
	}
	for name, rec := range found {
		if err := l.show(l.observers[name], rec, training); err != nil {
			return &thalweg.Error{Op: "learn", Kind: thalweg.KindOf(err), Subject: "step " + name, Err: err}
		}
	}
	return nil
}

func (l *Learning) show(to pipeline.Observer, rec arrow.Record, training map[int64]bool) error {
	keep := table.NewMask(int(rec.NumRows()))
	for i, row := range table.Rows(rec) {
		if training[row] {
			keep.Set(i)
		}
	}
	rows, err := table.Select(l.chain.mem, rec, keep)
	if err != nil {
		return err
	}
	defer rows.Release()
	return to.Observe(rows)
}

// Partial returns what the steps have gathered, by step.
func (l *Learning) Partial() (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage)
	for name, o := range l.observers {
		p, err := o.Partial()
		if err != nil {
			return nil, &thalweg.Error{Op: "learn", Kind: thalweg.KindOf(err), Subject: "step " + name, Err: err}
		}
		out[name] = p
	}
	return out, nil
}

// FinishLearning merges the partials of all shards, in shard order.
func FinishLearning(plan *pipeline.Plan, partials []map[string]json.RawMessage) (pipeline.Learnt, error) {
	learnt := make(pipeline.Learnt)
	for _, s := range plan.Steps {
		op, ok := s.Training.(pipeline.Learner)
		if !ok {
			continue
		}
		of := make([][]byte, len(partials))
		for i, p := range partials {
			of[i] = p[s.Name]
		}
		var err error
		if learnt[s.Name], err = op.Finish(of); err != nil {
			return nil, &thalweg.Error{Op: "learn", Kind: thalweg.KindOf(err), Subject: "step " + s.Name, Err: err}
		}
	}
	if n := len(learnt.JSON()); n > pipeline.MaxLearntBytes {
		return nil, &thalweg.Error{Op: "learn", Kind: thalweg.Exhausted, Err: fmt.Errorf("the steps have learnt %d bytes, at most %d are kept", n, pipeline.MaxLearntBytes)}
	}
	return learnt, nil
}

// unlearnt is the Op of a step before it has learnt.
type unlearnt struct{}

// Apply implements pipeline.Op: the plan was not given what its steps have learnt.
func (unlearnt) Apply(context.Context, memory.Allocator, arrow.Record, *pipeline.Report) (arrow.Record, error) {
	return nil, errors.New("has not learnt from the training rows yet")
}
