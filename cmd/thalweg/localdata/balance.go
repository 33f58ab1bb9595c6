package localdata

import (
	"context"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// balance counts training rows as the balance stage of a run does, nil where none is left out
// or repeated.
func (d *Dataset) balance(ctx context.Context, plan *pipeline.Plan, cuts *split.Cuts) (*balance.Rows, error) {
	of, ok := plan.Balance()
	if !ok || of.Method == pipeline.Weights { // which leave rows as they are
		return nil, nil
	}
	chain, counts := clean.New(plan, pipeline.InTraining), make(balance.Counts)
	var parts []uint8
	err := d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
		cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, nil)
		if err != nil {
			return err
		}
		defer cleaned.Release()
		if parts, err = cuts.Assign(plan, cleaned, split.Origin(d.Manifest.Origin(shard)), parts); err != nil {
			return err
		}
		usable, err := feature.Usable(plan, cleaned, new(pipeline.Report))
		if err != nil {
			return err
		}
		return counts.Observe(of.By, cleaned, balance.Training(parts, usable))
	})
	return balance.New(of, counts), err
}

// copies is how often each row of a batch is there.
type copies struct {
	of   []uint32
	most uint32
}

// copiesOf returns how often each row of a cleaned batch is there, once where rows are not
// balanced. rep counts and names those that are left out.
func (d *Dataset) copiesOf(cleaned arrow.Record, parts []uint8, usable table.Mask, shard int, rep *pipeline.Report) (c copies, err error) {
	if d.balanced == nil {
		return copies{most: 1}, nil
	}
	hash := split.Origin(d.Manifest.Origin(shard)).Draw(d.source.Seed)
	c.of, c.most, err = d.balanced.Copies(cleaned, balance.Training(parts, usable), hash, rep, nil)
	return c, err
}

// rounds yields the rows of a batch that are there more than from times, once more for each
// further copy, with their splits.
func (c copies) rounds(batch arrow.Record, parts []uint8, from uint32) iter.Seq2[arrow.Record, []uint8] {
	return func(yield func(arrow.Record, []uint8) bool) {
		if c.of == nil {
			if from == 0 {
				yield(batch, parts)
			}
			return
		}
		for k, more := from, true; k < c.most && more; k++ {
			rows, of, err := balance.Round(memory.DefaultAllocator, batch, parts, c.of, k)
			if err != nil {
				panic(err) // a mask is as long as its batch
			}
			more = yield(rows, of)
			rows.Release()
		}
	}
}
