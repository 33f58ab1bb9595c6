package worker

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/train"
)

// shardRows reads shards as training wants them: cleaned, split, transformed.
// It implements train.Rows.
type shardRows struct {
	*data
	chain     *clean.Chain
	transform *feature.Transform
	fit       fitted
}

// openRows reads the outputs of the stages before training.
func (w *Worker) openRows(ctx context.Context, lease *apiv1.Lease) (*shardRows, error) {
	d, err := w.openData(ctx, lease)
	if err != nil {
		return nil, err
	}
	r := &shardRows{data: d, chain: clean.New(d.plan, pipeline.InTraining)}
	if err := w.load(ctx, lease.Inputs["transform"], "transform", &r.fit); err != nil {
		return nil, err
	}
	if len(r.fit.Rows) != len(d.manifest.Shards) {
		return nil, &thalweg.Error{Op: "load transform", Kind: thalweg.Corrupt, Subject: lease.Inputs["transform"],
			Err: fmt.Errorf("it counts the rows of %d shards, not of %d", len(r.fit.Rows), len(d.manifest.Shards))}
	}
	r.transform, err = feature.Load(d.plan, r.fit.Transform)
	return r, err
}

// Read implements train.Rows.
func (r *shardRows) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		if !r.fit.has(shard, train.Training, train.Validation) {
			return
		}
		var rep pipeline.Report
		d := *r.data // several shards may be read at a time
		out, applier := train.Batch{Block: new(kernel.Block)}, r.transform.NewApplier()
		for batch, err := range through(d.cleaned(ctx, r.chain, shard, &rep), func(batch arrow.Record) (arrow.Record, error) {
			return r.transform.Keep(batch, &rep)
		}) {
			if err == nil {
				err = r.fill(&out, applier, shard, batch)
			}
			if !yield(&out, d.located(err)) || err != nil {
				return
			}
		}
	}
}

// fill makes what training wants of a batch, in the memory of the batch before.
func (r *shardRows) fill(out *train.Batch, applier *feature.Applier, shard int, batch arrow.Record) (err error) {
	if out.Split, err = r.cuts.Assign(r.plan, batch, shard, out.Split); err != nil {
		return err
	}
	if err := applier.Apply(batch, out.Block, nil); err != nil {
		return err
	}
	var valid []bool
	if out.Block.Labels, valid, err = r.transform.Labels(batch, out.Block.Labels); err != nil {
		return err
	}
	for i, ok := range valid {
		if !ok {
			out.Split[i] = train.Unused
		}
	}
	out.Row = batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
	return nil
}
