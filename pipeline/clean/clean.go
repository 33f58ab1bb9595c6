// Package clean carries out the cleaning steps of a plan: one operator a file,
// all of them listed in catalog.go. A Chain is the steps that apply in one
// phase, and the same Chain code runs over shards and over events.
//
// Rules that every operator keeps:
//
//   - The result of a row depends on that row alone, so batch boundaries change
//     nothing.
//   - Text is treated once per dictionary entry and counted once per row.
//   - Where nothing changes, the result shares the input's memory.
//   - Missing is null, and in a float64 column NaN too; an operator passes a null
//     on unless dealing with it is its purpose.
package clean

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxMade and maxMadeOfEvents bound what the steps make of one batch, in bytes
// that are there at a time: a few KiB for each row of a large batch, and many
// times what a batch of events has, or one event.
const (
	maxMade         = 256 << 20
	maxMadeOfEvents = 64 << 20
)

// Chain is the cleaning steps of a plan that apply in one phase, in order. It
// is immutable and may be used from several goroutines.
type Chain struct {
	steps []step
	in    table.Schema
	out   table.Schema
	// arrow is in as an Arrow schema.
	arrow *arrow.Schema
	mem   memory.Allocator
	limit int // of what the steps make of a batch
	// found, where it is not nil, gets the rows that a step finds which has not
	// learnt yet, and the step is left out; else that step fails.
	found func(step, arrow.Record)
}

type step struct {
	name string
	op   pipeline.Op
}

// New returns the chain of the plan's steps that apply in phase, from
// plan.Input in training and plan.ScoringInput in scoring.
func New(plan *pipeline.Plan, phase pipeline.Phase) *Chain {
	return newChain(plan, phase, memory.DefaultAllocator)
}

// BeforeLearning returns the chain of the training phase without the steps that
// have to learn first.
func BeforeLearning(plan *pipeline.Plan) *Chain {
	c := New(plan, pipeline.InTraining)
	c.found = func(step, arrow.Record) {}
	return c
}

// Alone returns the chain of a phase without the steps that look at other rows.
func Alone(plan *pipeline.Plan, phase pipeline.Phase) *Chain {
	c := New(plan, phase)
	c.steps = slices.DeleteFunc(c.steps, func(s step) bool {
		_, shuffles := s.op.(pipeline.Shuffler)
		return shuffles
	})
	return c
}

// With returns the chain for the rows of a shard of which shuffles found so much, by
// step. Apply fails at a step that shuffles and that is not among them.
func (c *Chain) With(settled map[string]*pipeline.Settled) *Chain {
	out := *c
	out.steps = slices.Clone(c.steps)
	for i, s := range out.steps {
		if op, shuffles := s.op.(pipeline.Shuffler); shuffles && settled[s.name] != nil {
			out.steps[i].op = op.With(settled[s.name])
		}
	}
	return &out
}

// Until returns the chain of those steps that come before the i-th of the plan.
func Until(plan *pipeline.Plan, i int) *Chain {
	before := *plan
	before.Steps = plan.Steps[:i]
	return New(&before, pipeline.InTraining)
}

// Empty reports that a chain has no steps.
func (c *Chain) Empty() bool { return len(c.steps) == 0 }

func newChain(plan *pipeline.Plan, phase pipeline.Phase, mem memory.Allocator) *Chain {
	c := &Chain{in: plan.Input, out: plan.Cleaned, mem: mem, limit: maxMade}
	if phase == pipeline.InScoring {
		c.in, c.out, c.limit = plan.ScoringInput, plan.ScoringCleaned, maxMadeOfEvents
	}
	c.arrow = c.in.Arrow()
	for _, s := range plan.Steps {
		op := s.Training
		if phase == pipeline.InScoring {
			op = s.Scoring
		}
		if op != nil {
			c.steps = append(c.steps, step{s.Name, op})
		}
	}
	return c
}

// Input returns the columns that Apply wants, without table.RowColumn.
func (c *Chain) Input() table.Schema { return c.in }

// Schema returns the columns of a cleaned batch, without table.RowColumn.
func (c *Chain) Schema() table.Schema { return c.out }

// Apply cleans a canonical batch, whose last column is table.RowColumn, and
// counts in rep (which may be nil) what the steps did. Columns that Input does
// not list are left out. The batch stays the caller's; the caller releases the
// result, which may share the batch's memory. An error is *thalweg.Error and
// names the step; it is Exhausted where the step makes too much of the batch.
func (c *Chain) Apply(ctx context.Context, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	if rep == nil {
		rep = new(pipeline.Report)
	}
	cur, err := c.bind(batch)
	if err != nil {
		return nil, err
	}
	rep.RowsIn += cur.NumRows()
	for _, s := range c.steps {
		if err := ctx.Err(); err != nil {
			cur.Release()
			return nil, &thalweg.Error{Op: "clean", Kind: thalweg.Canceled, Subject: "step " + s.name, Err: err}
		}
		if _, unlearnt := s.op.(pipeline.Learner); unlearnt && c.found != nil {
			c.found(s, cur)
			continue
		}
		next, err := s.op.Apply(ctx, c.mem, cur, rep)
		cur.Release()
		if err == nil && madeOf(next, batch, c.limit) > c.limit {
			next.Release()
			err = &thalweg.Error{Kind: thalweg.Exhausted, Hint: "make shorter strings, or fewer columns",
				Err: fmt.Errorf("the steps so far make more than %d MiB of one batch", c.limit>>20)}
		}
		if err != nil {
			return nil, &thalweg.Error{Op: "clean", Kind: thalweg.KindOf(err), Subject: "step " + s.name, Err: err}
		}
		cur = next
	}
	rep.RowsOut += cur.NumRows()
	return cur, nil
}

// bind returns the batch's columns as Input lists them, without copying any.
func (c *Chain) bind(batch arrow.Record) (arrow.Record, error) {
	have := batch.Schema()
	if have.Equal(c.arrow) {
		batch.Retain()
		return batch, nil
	}
	columns := make([]arrow.Array, 0, c.arrow.NumFields())
	for _, f := range c.arrow.Fields() {
		i, err := column(batch, f.Name)
		if err == nil && !arrow.TypeEqual(batch.Column(i).DataType(), f.Type) {
			err = invalid(f.Name, fmt.Sprintf("is %s in the batch, not %s", arrowtype.Name(batch.Column(i).DataType()), arrowtype.Name(f.Type)))
		}
		if err != nil {
			return nil, &thalweg.Error{Op: "clean", Kind: thalweg.Invalid, Err: err}
		}
		columns = append(columns, batch.Column(i))
	}
	return array.NewRecord(c.arrow, columns, batch.NumRows()), nil
}
