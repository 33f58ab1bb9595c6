package worker

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
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
