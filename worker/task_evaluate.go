package worker

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// evaluatedSplits are the splits that the evaluate stage measures.
var evaluatedSplits = [...]uint8{split.Validation, split.Test}

// evaluated is what the evaluate stage finds in one shard.
type evaluated struct {
	// Sums are mergeable, of the evaluated splits in their order.
	Sums [len(evaluatedSplits)]json.RawMessage `json:"sums"`
	// UnknownClasses counts the rows of these splits whose class no training row has.
	UnknownClasses int64 `json:"unknown_classes,omitempty"`
	// Alone is by feature, in the first shard.
	Alone map[string]alone `json:"alone,omitempty"`
}

// artifact loads and verifies a checkpoint of the state bucket.
func (w *Worker) artifact(ctx context.Context, reference string) (*artifact.Artifact, error) {
	parts, err := w.checkpoint(ctx, reference)
	if err != nil {
		return nil, err
	}
	return artifact.Decode(w.cfg.SpecCatalog, parts)
}

// checkpoint loads and verifies the parts of a checkpoint of the state bucket.
func (w *Worker) checkpoint(ctx context.Context, reference string) (map[string][]byte, error) {
	ref, err := thalweg.ParseObjectRef(reference)
	if err != nil {
		return nil, err
	}
	return checkpoint.Load(ctx, w.state, ref)
}

// mapEvaluate scores shards' validation and test rows with the trained model, by
// the same path that scores the stream.
func mapEvaluate(ctx context.Context, t *Task) error {
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	return mapShards(ctx, t, func(d *data, shard int) (evaluated, error) {
		return d.evaluate(ctx, trained, shard)
	})
}

// evaluate returns the sums of one shard.
func (d *data) evaluate(ctx context.Context, trained *artifact.Artifact, shard int) (out evaluated, err error) {
	scorer, err := trained.NewScorer(pipeline.InTraining)
	if err != nil {
		return out, err
	}
	var sums [len(evaluatedSplits)]metric.Accumulator
	for i := range sums {
		if sums[i], err = metric.New(d.plan.Spec.Entries(pipeline.Metrics), trained.Answer()); err != nil {
			return out, err
		}
	}
	var rep pipeline.Report
	var parts []uint8
	var predictions, labels, somePredictions, someLabels []float32
	var valid []bool
	width := trained.Model.Outputs()
	lone := newLoneFeatures(len(d.plan.Features))
	for rows, err := range through(d.batches(ctx, shard), func(batch arrow.Record) (rows arrow.Record, err error) {
		rows, predictions, err = scorer.Score(ctx, batch, &rep)
		return rows, err
	}) {
		if err != nil {
			return out, err
		}
		if parts, err = d.cuts.Assign(d.plan, rows, shard, parts); err != nil {
			return out, err
		}
		if labels, valid, err = trained.Transform.Labels(rows, labels); err != nil {
			return out, err
		}
		if shard == 0 && width == 1 {
			lone.observe(scorer.Parts(), labels, valid)
		}
		for i, s := range evaluatedSplits { // an accumulator sees whole batches
			somePredictions, someLabels = somePredictions[:0], someLabels[:0]
			for row, p := range parts {
				switch {
				case p != s:
				case valid == nil || valid[row]:
					somePredictions = append(somePredictions, predictions[row*width:(row+1)*width]...)
					someLabels = append(someLabels, labels[row])
				case labels[row] == feature.UnknownClass:
					out.UnknownClasses++
				}
			}
			sums[i].Observe(somePredictions, someLabels)
		}
	}
	for i := range sums {
		if out.Sums[i], err = json.Marshal(sums[i]); err != nil {
			return out, err
		}
	}
	out.Alone = lone.strengths(d.plan.Label.Type == model.Binary)
	return out, nil
}

// reduceEvaluate merges the sums in shard order into the run's metrics.
func reduceEvaluate(ctx context.Context, t *Task) error {
	d, all, err := shardResults[evaluated](ctx, t)
	if err != nil {
		return err
	}
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	metrics, answer := d.plan.Spec.Entries(pipeline.Metrics), trained.Answer()
	values := make(map[string]map[string]float64, len(evaluatedSplits))
	for i, s := range evaluatedSplits {
		total, err := metric.New(metrics, answer)
		if err != nil {
			return err
		}
		for _, p := range all {
			sums, err := metric.Decode(metrics, answer, p.Sums[i])
			if err != nil {
				return err
			}
			if err := total.Merge(sums); err != nil {
				return err
			}
		}
		values[split.Names[s]] = total.Values()
		for name, v := range total.Values() {
			t.Report.Metrics[split.Names[s]+"."+name] = v
		}
	}
	judged := split.Names[split.Test]
	if values[judged][metric.Rows] == 0 {
		judged = split.Names[split.Validation]
	}
	var unknown int64
	for _, p := range all {
		unknown += p.UnknownClasses
	}
	if unknown > 0 {
		t.Report.Counts["labels of unknown classes"] = unknown
		t.warn("%d validation and test rows are not measured: their class is none that a training row has", unknown)
	}
	t.warnOfEvaluation(d.plan.Label.Loss, judged, values[judged], all[0].Alone)
	return t.Save(ctx, "evaluation", values)
}
