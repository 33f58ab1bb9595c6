package worker

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/worker/train"
)

// shardRows reads shards as training wants them: cleaned, split, transformed.
// It implements train.Rows.
type shardRows struct {
	*data
	chain     *clean.Chain
	cuts      split.Cuts
	transform *feature.Transform
}

// openRows reads the outputs of the stages before training.
func (w *Worker) openRows(ctx context.Context, lease *apiv1.Lease) (*shardRows, error) {
	d, err := w.openData(ctx, lease.Spec, lease.Inputs)
	if err != nil {
		return nil, err
	}
	r := &shardRows{data: d}
	r.chain = clean.New(d.plan, pipeline.InTraining)
	if err := w.load(ctx, lease.Inputs["split"], "split", &r.cuts); err != nil {
		return nil, err
	}
	var f struct {
		Transform json.RawMessage `json:"transform"`
	}
	if err := w.load(ctx, lease.Inputs["transform"], "transform", &f); err != nil {
		return nil, err
	}
	r.transform, err = feature.Load(d.plan, f.Transform)
	return r, err
}

// Read implements train.Rows.
func (r *shardRows) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		var rep pipeline.Report
		to := matrixRows{shardRows: r, shard: shard, applier: r.transform.NewApplier(), rep: &rep}
		for batch, err := range r.cleaned(ctx, r.chain, shard, &rep) {
			if err == nil {
				err = to.transform(batch)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(&to.out, nil)
			to.kept.Release()
			if !more {
				return
			}
		}
	}
}

// matrixRows turns the cleaned rows of a shard into those that training wants,
// in memory that each batch uses again.
type matrixRows struct {
	*shardRows
	shard   int
	applier *feature.Applier
	rep     *pipeline.Report
	kept    arrow.Record // holds what out refers to
	block   kernel.Block
	out     train.Batch
}

// transform fills out from a batch. Unless it fails, the caller releases kept.
func (r *matrixRows) transform(batch arrow.Record) (err error) {
	if r.kept, err = r.shardRows.transform.Keep(batch, r.rep); err != nil {
		return err
	}
	if err := r.fill(); err != nil {
		r.kept.Release()
		return err
	}
	return nil
}

func (r *matrixRows) fill() (err error) {
	if r.out.Split, err = r.cuts.Assign(r.kept, r.shard, r.out.Split); err != nil {
		return err
	}
	if err := r.applier.Apply(r.kept, &r.block, nil); err != nil {
		return err
	}
	var valid []bool
	if r.block.Labels, valid, err = r.shardRows.transform.Labels(r.kept, r.block.Labels); err != nil {
		return err
	}
	for i, ok := range valid {
		if !ok {
			r.out.Split[i] = train.Unused
		}
	}
	r.out.Block = &r.block
	r.out.Row = r.kept.Column(int(r.kept.NumCols()) - 1).(*array.Int64).Int64Values()
	return nil
}
