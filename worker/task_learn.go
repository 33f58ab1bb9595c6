package worker

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
)

// mapLearn shows shards' training rows to the cleaning steps that learn.
func mapLearn(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (map[string]json.RawMessage, error) {
		learning := clean.NewLearning(d.plan)
		settled, err := d.settled(ctx, shard)
		if err != nil {
			return nil, err
		}
		learning.With(settled)
		var parts []uint8
		assign := func(cleaned arrow.Record) (_ []uint8, err error) {
			parts, err = d.cuts.Assign(d.plan, cleaned, d.origin(shard), parts)
			return parts, err
		}
		for batch, err := range d.batches(ctx, shard, new(pipeline.Report)) {
			if err == nil {
				err = learning.Observe(ctx, batch, assign)
			}
			if err != nil {
				return nil, err
			}
		}
		return learning.Partial()
	})
}

// reduceLearn merges what the steps gathered, in shard order.
func reduceLearn(ctx context.Context, t *Task) error {
	d, all, err := shardResults[map[string]json.RawMessage](ctx, t)
	if err != nil {
		return err
	}
	learnt, err := clean.FinishLearning(d.plan, all)
	if err != nil {
		return err
	}
	return t.Save(ctx, "learnt", learnt)
}

// mapBalance counts shards' training rows by the values that they are balanced by.
func mapBalance(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (balance.Counts, error) {
		of, _ := d.plan.Balance()
		counts := make(balance.Counts)
		var parts []uint8
		for batch, err := range d.cleaned(ctx, clean.New(d.plan, pipeline.InTraining), shard, new(pipeline.Report)) {
			if err == nil {
				parts, err = d.cuts.Assign(d.plan, batch, d.origin(shard), parts)
			}
			var training table.Mask
			if err == nil {
				training, err = d.training(batch, parts)
			}
			if err == nil {
				err = counts.Observe(of.By, batch, training)
			}
			if err != nil {
				return nil, err
			}
		}
		return counts, nil
	})
}

// training marks the rows of a cleaned batch that are learned from.
func (d *data) training(cleaned arrow.Record, parts []uint8) (table.Mask, error) {
	usable, err := feature.Usable(d.plan, cleaned, new(pipeline.Report))
	if err != nil {
		return usable, err
	}
	return balance.Training(parts, usable), nil
}

// reduceBalance adds the counts up.
func reduceBalance(ctx context.Context, t *Task) error {
	d, all, err := shardResults[balance.Counts](ctx, t)
	if err != nil {
		return err
	}
	of, _ := d.plan.Balance()
	total := make(balance.Counts)
	for _, counts := range all {
		if err := total.Merge(of.By, counts); err != nil {
			return err
		}
	}
	for _, text := range balance.New(of, total).Warnings {
		t.warn("%s", text)
	}
	return t.Save(ctx, "balance", total)
}
