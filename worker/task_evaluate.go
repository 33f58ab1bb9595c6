package worker

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// evaluatedSplits are the splits that the evaluate stage measures.
var evaluatedSplits = [...]uint8{split.Validation, split.Test}

// evaluated holds the mergeable sums of the evaluated splits, in their order.
type evaluated [len(evaluatedSplits)]json.RawMessage

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

// selected gathers the predictions and labels of one split, so that an
// accumulator sees whole batches.
type selected struct {
	sums                metric.Accumulator
	predictions, labels []float32
}

func (s *selected) flush() {
	s.sums.Observe(s.predictions, s.labels)
	s.predictions, s.labels = s.predictions[:0], s.labels[:0]
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
	var bySplit [split.Count]*selected
	for _, s := range evaluatedSplits {
		sums, err := metric.New(d.plan.Label.Type, d.plan.Label.Threshold)
		if err != nil {
			return err
		}
		bySplit[s] = &selected{sums: sums}
	}
	shard := int(j.lease.Index)
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
		if labels, valid, err = model.Transform.Labels(rows, labels); err != nil {
			return err
		}
		for i, p := range parts {
			if s := bySplit[p]; s != nil && (valid == nil || valid[i]) {
				s.predictions = append(s.predictions, predictions[i])
				s.labels = append(s.labels, labels[i])
			}
		}
		for _, s := range evaluatedSplits {
			bySplit[s].flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	var out evaluated
	for i, s := range evaluatedSplits {
		if out[i], err = json.Marshal(bySplit[s].sums); err != nil {
			return err
		}
	}
	j.report.Counts["rows"] = rep.RowsIn
	return j.savePartial(ctx, out)
}

// reduceEvaluate merges the sums in shard order into the run's metrics.
func reduceEvaluate(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	all, err := partials[evaluated](ctx, j)
	if err != nil {
		return err
	}
	values := make(map[string]map[string]float64, len(evaluatedSplits))
	for i, s := range evaluatedSplits {
		total, err := metric.New(d.plan.Label.Type, d.plan.Label.Threshold)
		if err != nil {
			return err
		}
		for _, p := range all {
			sums, err := metric.Decode(d.plan.Label.Type, d.plan.Label.Threshold, p[i])
			if err != nil {
				return err
			}
			if err := total.Merge(sums); err != nil {
				return err
			}
		}
		values[split.Names[s]] = total.Values()
		for name, v := range total.Values() {
			j.report.Metrics[split.Names[s]+"."+name] = v
		}
	}
	return j.save(ctx, "evaluation", "evaluation", values)
}
