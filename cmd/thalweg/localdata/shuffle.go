package localdata

import (
	"cmp"
	"context"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/shuffle"
)

// reducers are as many as a cluster has: what these take, one process does too.
const reducers = 8

// shuffleBytes bounds the rows of a shuffle in memory; more are in a temporary file.
const shuffleBytes = 256 << 20

// settle finds for each shard what the shuffles of a run find, which are some of the plan's.
func (d *Dataset) settle(ctx context.Context, plan *pipeline.Plan, passes []pipeline.Pass) error {
	if d.settled == nil {
		d.settled = make([]map[string]*pipeline.Settled, len(d.Manifest.Shards))
	}
	for _, pass := range passes {
		if err := d.pass(ctx, plan, pass); err != nil {
			return err
		}
		d.rejects = pipeline.Report{} // they are read again
	}
	return nil
}

func (d *Dataset) pass(ctx context.Context, plan *pipeline.Plan, pass pipeline.Pass) error {
	chain := clean.Until(plan, pass.Step)
	records := shuffle.NewSorter(os.TempDir(), shuffleBytes)
	defer records.Close()
	records.Texts = reducers * shuffle.MaxTextBytes
	pieces := shuffle.NewPieces(pass.Shuffle, 1, func(_, _ int, body []byte) (string, error) {
		_, err := records.AddPiece(body)
		return "", err
	})
	if err := d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
		cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, nil)
		if err != nil {
			return err
		}
		defer cleaned.Release()
		return pieces.Add(cleaned, shard)
	}); err != nil {
		return err
	}
	if len(pass.Labels) > 0 {
		d.labels.Bind(plan)
		for shard := range d.labels.Manifest.Shards {
			if err := d.labels.Each(ctx, shard, dataset.ReaderConfig{}, func(batch arrow.Record) error {
				keyless, err := pieces.AddLabels(batch, shard)
				d.Labels.Keyless += keyless
				return err
			}); err != nil {
				return err
			}
		}
	}
	if _, err := pieces.Finish(); err != nil {
		return err
	}
	for shard := range d.settled {
		if d.settled[shard] == nil {
			d.settled[shard] = make(map[string]*pipeline.Settled)
		}
		d.settled[shard][pass.Name] = new(pipeline.Settled)
	}
	put := func(shard int, found *pipeline.Settled) error {
		*d.settled[shard][pass.Name] = pipeline.Settled{Rows: slices.Clone(found.Rows), Values: slices.Clone(found.Values)}
		return nil
	}
	if len(pass.Labels) == 0 {
		return shuffle.Reduce(ctx, records, pass.Shuffle, shuffleBytes/4, put)
	}
	joined, err := shuffle.Join(ctx, records, pass.Shuffle, shuffleBytes/4, put)
	d.Labels.Joined = joined
	return cmp.Or(err, d.labels.Check(ctx, joined))
}
