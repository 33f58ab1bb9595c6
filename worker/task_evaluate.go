package worker

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// evaluated holds the mergeable sums of each split that is evaluated.
type evaluated struct {
	Validation *metric.Accumulator `json:"validation"`
	Test       *metric.Accumulator `json:"test"`
}

// artifact loads and verifies a checkpoint of the state bucket.
func (w *Worker) artifact(ctx context.Context, reference string) (*artifact.Artifact, error) {
	ref, err := thalweg.ParseObjectRef(reference)
	if err != nil {
		return nil, err
	}
	parts, err := checkpoint.Load(ctx, w.state, ref)
	if err != nil {
		return nil, err
	}
	return artifact.Decode(parts)
}

// runEvaluate scores a shard's validation and test rows with the trained model,
// by the same path that scores the stream.
func runEvaluate(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	var cuts split.Cuts
	if err := j.input(ctx, "split", &cuts); err != nil {
		return err
	}
	model, err := j.worker.artifact(ctx, j.lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	scorer, err := model.NewScorer(pipeline.InTraining)
	if err != nil {
		return err
	}
	shard := int(j.lease.Index)
	kind := d.plan.Label.Type
	out := evaluated{Validation: metric.New(kind), Test: metric.New(kind)}
	into := [split.Count]*metric.Accumulator{split.Validation: out.Validation, split.Test: out.Test}
	var rep pipeline.Report
	var parts []uint8
	var labels []float32
	var valid []bool
	err = d.shard(ctx, shard, func(batch arrow.Record) error {
		rows, predictions, err := scorer.Score(ctx, batch, &rep)
		if err != nil {
			return err
		}
		defer rows.Release()
		j.rowsDone.Store(rep.RowsIn)
		if parts, err = cuts.Assign(rows, shard, parts); err != nil {
			return err
		}
		if labels, valid, err = model.Transform.Labels(rows, labels, valid); err != nil {
			return err
		}
		for i, p := range parts {
			if acc := into[p]; acc != nil && valid[i] {
				acc.Observe(predictions[i], labels[i])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.report.Counts["rows"] = rep.RowsIn
	return j.savePartial(ctx, out)
}

// reduceEvaluate merges the sums in shard order into the run's metrics.
func reduceEvaluate(ctx context.Context, j *job) error {
	all, err := partials[evaluated](ctx, j)
	if err != nil {
		return err
	}
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	total := evaluated{Validation: metric.New(d.plan.Label.Type), Test: metric.New(d.plan.Label.Type)}
	for _, p := range all {
		total.Validation.Merge(p.Validation)
		total.Test.Merge(p.Test)
	}
	for name, v := range total.Validation.Values() {
		j.report.Metrics["validation."+name] = v
	}
	for name, v := range total.Test.Values() {
		j.report.Metrics["test."+name] = v
	}
	return j.save(ctx, "evaluation", "evaluation", total)
}
