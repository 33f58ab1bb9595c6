package worker

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
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
		var labels []float32
		for batch, err := range through(d.cleaned(ctx, r.chain, shard, &rep), func(batch arrow.Record) (arrow.Record, error) {
			return r.transform.Keep(batch, &rep)
		}) {
			if err == nil {
				labels, err = r.split(&out, shard, batch, labels)
			}
			out.Fill = func(keep table.Mask) error { return d.located(r.fill(out.Block, applier, batch, labels, keep)) }
			if !yield(&out, d.located(err)) || err != nil {
				return
			}
		}
	}
}

// split names the rows of a batch and says what they are for. It returns their labels,
// in the memory of those of the batch before.
func (r *shardRows) split(out *train.Batch, shard int, batch arrow.Record, spare []float32) (labels []float32, err error) {
	if out.Split, err = r.cuts.Assign(r.plan, batch, shard, out.Split); err != nil {
		return nil, err
	}
	var valid []bool
	if labels, valid, err = r.transform.Labels(batch, spare); err != nil {
		return nil, err
	}
	for i, ok := range valid {
		if !ok {
			out.Split[i] = train.Unused
		}
	}
	out.Row = table.Rows(batch)
	return labels, nil
}

// fill makes a block of the rows of a batch that are kept.
func (r *shardRows) fill(out *kernel.Block, applier *feature.Applier, batch arrow.Record, labels []float32, keep table.Mask) error {
	rows, err := table.Select(memory.DefaultAllocator, batch, keep)
	if err != nil {
		return err
	}
	defer rows.Release()
	out.Labels = out.Labels[:0]
	for i := range keep.Marked() {
		out.Labels = append(out.Labels, labels[i])
	}
	return applier.Apply(rows, out, nil)
}
