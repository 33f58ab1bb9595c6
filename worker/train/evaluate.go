package train

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// lane is the memory of one goroutine that works on replicas, one after the
// other.
type lane struct {
	scratch   *scratch
	workspace *model.Workspace
	grad      []float32
	out       []float32
}

func (t *trainer) newLane() *lane {
	m := t.job.Model
	return &lane{scratch: t.layout.newScratch(), workspace: m.NewWorkspace(), grad: make([]float32, m.Size()), out: make([]float32, validationRows*m.Outputs())}
}

// contribution is what a replica gives to an exchange.
type contribution struct {
	weight float64
	vector kernel.Vector
	note   []byte
}

// usage is the note of a round: the rows that a replica used, and the sum of
// their losses.
type usage struct {
	RowSet
	Loss float64 `json:"loss"`
}

// note returns a contribution of nothing but a note.
func note(v any) (contribution, error) {
	data, err := json.Marshal(v)
	return contribution{note: data}, err
}

// steps returns what an algorithm reads a replica's rows by, which counts them in
// used; where that is nil they come without labels.
func (t *trainer) steps(ctx context.Context, ln *lane, m *matrix, replica int, used *RowSet) func(epoch, from, to int) iter.Seq2[optim.Step, error] {
	return func(epoch, from, to int) iter.Seq2[optim.Step, error] {
		return func(yield func(optim.Step, error) bool) {
			seed := t.job.Trainer.Seed
			order := m.blocks(seed, replica, epoch, from, to)
			for i, at := range order {
				t.config.Yield(ctx)
				b := &m.training[at]
				err := m.open(b, ln.scratch)
				if ln.scratch.Ahead = nil; i+1 < len(order) {
					ln.scratch.Ahead = m.training[order[i+1]].prefetch()
				}
				if ctx.Err() != nil {
					err = canceled(ctx)
				}
				var memo *any
				if err == nil {
					memo, err = m.use(&b.memo)
				}
				if err != nil {
					yield(optim.Step{}, err)
					return
				}
				label := func() {
					if ln.scratch.Labels == nil {
						t.layout.label(ln.scratch, t.state.plan.labels)
					}
				}
				if used != nil {
					used.Add(b.set)
					label()
				}
				more := yield(optim.Step{Block: &ln.scratch.Block, Seed: stepSeed(seed, replica, epoch, at), Memo: memo, Reserve: m.reserve, Label: label, Keys: ln.scratch.keys}, nil)
				if err := m.done(&b.memo, *memo); err != nil && more {
					yield(optim.Step{}, err)
					return
				}
				if !more {
					return
				}
			}
		}
	}
}

// learn computes what a replica contributes to a round. Its note is its rows and
// their losses.
func (t *trainer) learn(ctx context.Context, ln *lane, m *matrix, index int, at optim.Round) (contribution, error) {
	var used RowSet
	r := optim.Replica{Workspace: ln.workspace, Rows: t.state.plan.expected.Rows, Before: t.before(index), Batches: t.state.plan.blocks, Gradient: ln.grad,
		Steps: t.steps(ctx, ln, m, index, &used), Again: t.steps(ctx, ln, m, index, nil)}
	v, loss, err := t.algorithm.Contribute(&r, &t.state.State, at)
	if err != nil {
		return contribution{}, err
	}
	if i := v.Finite(); i >= 0 || loss-loss != 0 {
		return contribution{}, t.diverged(index, fmt.Sprintf("epoch %d, round %d", at.Epoch+1, at.Index+1), element(t.job.Model, v, i))
	}
	c, err := note(usage{RowSet: used, Loss: loss})
	c.weight, c.vector = float64(used.Rows), v
	return c, err
}

// before counts the training rows of the replicas before one.
func (t *trainer) before(replica int) (rows int64) {
	for _, f := range t.state.Facts[:replica] {
		rows += f.Rows.Rows
	}
	return rows
}

// evaluate computes a replica's validation metrics of params, which predict in
// the label's units. The note is the accumulator's JSON.
func (t *trainer) evaluate(ctx context.Context, ln *lane, m *matrix, index, epoch int, params []float32) (contribution, error) {
	a, err := t.accumulator()
	if err != nil {
		return contribution{}, err
	}
	for i := range m.validation {
		t.config.Yield(ctx)
		if err := ctx.Err(); err != nil {
			return contribution{}, canceled(ctx)
		}
		b := &m.validation[i]
		if err := m.open(b, ln.scratch); err != nil {
			return contribution{}, err
		}
		t.layout.label(ln.scratch, model.Scale{})
		out := ln.out[:b.rows*t.job.Model.Outputs()]
		t.job.Model.PredictAgain(ln.workspace, params, &ln.scratch.Block, out, m.keep(&b.memo, b.rows*t.job.Model.PredictKeeps()))
		if kernel.Finite(out) >= 0 {
			return contribution{}, t.diverged(index, fmt.Sprintf("validation of epoch %d", epoch+1), "a prediction")
		}
		a.Observe(out, ln.scratch.Labels)
	}
	return note(a)
}

// DivergedError is what is not finite any more. Which rows made it so it does not know.
type DivergedError struct{ What string }

func (e *DivergedError) Error() string { return e.What + " is not finite any more" }

// diverged is the error of what is not finite.
func (t *trainer) diverged(replica int, when, what string) error {
	options, _ := json.Marshal(t.job.Trainer.Optimizer.Options) // it was read from text
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s: replica %d: %s", t.job.Run, replica, when),
		Err:  &DivergedError{what},
		Hint: fmt.Sprintf("training diverged: lower trainer.optimizer.learning_rate of %s %s", t.job.Trainer.Optimizer.Name, options)}
}

func (t *trainer) accumulator() (metric.Accumulator, error) {
	answer := t.job.Model.Loss().Answer()
	answer.Threshold = t.job.Threshold
	return metric.New(t.job.Metrics, answer)
}

// inUnits returns parameters that predict in the label's units.
func (t *trainer) inUnits(params []float32) []float32 {
	out := slices.Clone(params)
	t.job.Model.Rescale(out, t.state.plan.labels)
	return out
}

// canceled is the error of a job that its context ended.
func canceled(ctx context.Context) error {
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Canceled, Err: context.Cause(ctx)}
}

// element names an element of a contribution to a round for people.
func element(m *model.Model, v kernel.Vector, at int) string {
	switch {
	case at < 0:
		return "the loss"
	case v.Float32 == nil:
		return fmt.Sprintf("element %d of the contribution", at)
	case at >= m.Size():
		return fmt.Sprintf("element %d of the optimizer's state", at-m.Size())
	}
	views := m.Views()
	i := slices.IndexFunc(views, func(v model.View) bool { return at < v.Offset+v.Size() })
	return fmt.Sprintf("element %d of %s", at-views[i].Offset, views[i].Name)
}
