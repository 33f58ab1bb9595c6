package bench

import (
	"context"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// BenchmarkQuality trains the demo's pipeline to its end, with one replica and
// with eight. goal, on the full file: test ROC AUC at least 0.655 and log loss
// at most 0.496, equal within 0.002 for both; the peer is Gonum's L-BFGS on the
// same rows.
func BenchmarkQuality(b *testing.B) {
	f := open(b)
	f.fit(b)
	peer := f.lbfgs(b)
	for _, replicas := range []int{1, 8} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			var values map[string]float64
			var rows, seconds float64
			for b.Loop() {
				began := time.Now()
				model, result := f.train(b, replicas)
				seconds += time.Since(began).Seconds()
				rows += float64(result.Epochs) * float64(f.fitted.Label().Statistics.Count)
				values = f.evaluate(b, model, result.Params)
			}
			b.ReportMetric(values["roc_auc"], "roc_auc")
			b.ReportMetric(values["log_loss"], "log_loss")
			b.ReportMetric(peer["roc_auc"], "lbfgs-roc_auc")
			b.ReportMetric(peer["log_loss"], "lbfgs-log_loss")
			b.ReportMetric(rows/seconds/1e6, "Mrows/s")
		})
	}
}

// alone is the group of a worker that holds every replica.
type alone int

func (n alone) Assignment() (average.Assignment, <-chan struct{}) {
	a := make(average.Assignment, n)
	for i := range a {
		a[i] = average.Holder{Worker: "w"}
	}
	return a, nil
}

// train trains on one worker with everything in memory.
func (f *flights) train(tb testing.TB, replicas int) (*artifact.Artifact, *train.Result) {
	tb.Helper()
	a, err := artifact.New(f.plan, f.fitted)
	check(tb, err)
	trainer := artifact.Trainer(f.plan, f.fitted)
	trainer.Distributed.Replicas = pipeline.Count(replicas)
	job := train.Job{Metrics: metric.Catalog(), Run: "bench", Trainer: trainer, Model: a.Model, Threshold: f.plan.Label.Threshold,
		Shards: len(f.manifest.Shards), Rows: (*trainingRows)(f), Input: "bench"}
	session, err := average.NewServer().Join(average.Run{ID: "bench", Worker: "w", Fingerprint: job.Fingerprint()}, alone(replicas), average.Config{})
	check(tb, err)
	defer session.Leave()
	result, err := train.Run(tb.Context(), job, session, train.Hooks{}, train.Config{Dir: tb.TempDir()})
	check(tb, err)
	return a, result
}

// evaluate measures the test split.
func (f *flights) evaluate(tb testing.TB, a *artifact.Artifact, params []float32) map[string]float64 {
	tb.Helper()
	sums, err := metric.New(metric.Catalog(), pipeline.Answer{Type: f.plan.Label.Answer, Threshold: f.plan.Label.Threshold})
	check(tb, err)
	var predictions []float32
	var chosen, labels []float32
	workspace := a.Model.NewWorkspace()
	for shard := range f.manifest.Shards {
		for batch, err := range (*trainingRows)(f).Read(tb.Context(), shard) {
			check(tb, err)
			n := batch.Block.Rows
			predictions = append(predictions[:0], make([]float32, n)...)
			a.Model.Predict(workspace, params, batch.Block, predictions)
			chosen, labels = chosen[:0], labels[:0]
			for i, s := range batch.Split {
				if s == split.Test {
					chosen, labels = append(chosen, predictions[i]), append(labels, batch.Block.Labels[i])
				}
			}
			sums.Observe(chosen, labels)
		}
	}
	return sums.Values()
}

// trainingRows reads the flights as training does.
type trainingRows flights

// Read implements train.Rows.
func (r *trainingRows) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		more := true
		err := r.each(ctx, shard, func(batch *train.Batch) error {
			if more = yield(batch, nil); !more {
				return io.EOF
			}
			return nil
		})
		if err != nil && more {
			yield(nil, err)
		}
	}
}

func (r *trainingRows) each(ctx context.Context, shard int, yield func(*train.Batch) error) error {
	f := (*flights)(r)
	applier := f.fitted.NewApplier()
	var block kernel.Block
	var out train.Batch
	return f.rows(ctx, shard, func(batch arrow.Record) (err error) {
		if out.Split, err = f.cuts.Assign(f.plan, batch, split.Origin(f.manifest.Origin(shard)), out.Split); err != nil {
			return err
		}
		if err := applier.Apply(batch, &block, nil); err != nil {
			return err
		}
		var valid []bool
		if block.Labels, valid, err = f.fitted.Labels(batch, block.Labels); err != nil {
			return err
		}
		for i, ok := range valid {
			if !ok {
				out.Split[i] = train.Unused
			}
		}
		out.Block = &block
		out.Row = batch.Column(int(batch.NumCols()) - 1).(*array.Int64).Int64Values()
		return yield(&out)
	})
}
