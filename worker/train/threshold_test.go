package train_test

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/worker/train"
)

// The threshold is the one at which f1 of the validation rows is best, of all that
// begin a bin of the histogram; the model is the same as without it.
func TestTheThresholdIsChosenOnTheValidationRows(t *testing.T) {
	d := dataset{shards: 2, rows: 1500, label: "binary", seed: 5}
	job := newJob(t, d, 2)
	run := func() (*train.Result, error) {
		c := newCluster(t, 2, 1)
		return c.run(c.workers[0], job, train.Hooks{})
	}
	plain, err := run()
	if err != nil {
		t.Fatal(err)
	}
	job.Optimize = metric.F1
	result, err := run()
	if err != nil {
		t.Fatal(err)
	}
	if parametersHash(result) != parametersHash(plain) {
		t.Error("the threshold changed the model")
	}
	at, ok := result.Metrics[metric.Threshold]
	if _, before := plain.Metrics[metric.Threshold]; before || !ok || at == 0.5 {
		t.Fatalf("metrics %v, without %v", result.Metrics, plain.Metrics)
	}
	var predictions, labels []float32
	for shard := range d.shards {
		for b, err := range d.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			p := make([]float32, b.Block.Rows)
			job.Model.Predict(job.Model.NewWorkspace(), result.Params, b.Block, p)
			for i, split := range b.Split {
				if split == train.Validation {
					predictions, labels = append(predictions, p[i]), append(labels, b.Block.Labels[i])
				}
			}
		}
	}
	f1 := func(at float64) float64 {
		a, err := metric.New(metric.Catalog(), pipeline.Answer{Type: "binary", Threshold: at})
		if err != nil {
			t.Fatal(err)
		}
		a.Observe(predictions, labels)
		return a.Values()[metric.F1]
	}
	best := 0.0
	for _, p := range predictions {
		best = max(best, f1(float64(p)))
	}
	if got := f1(at); got != result.Metrics[metric.F1] || got < best-3e-3 || got <= plain.Metrics[metric.F1] {
		t.Errorf("f1 from %v on is %v and reported as %v; the best is %v, that from 0.5 on %v", at, got, result.Metrics[metric.F1], best, plain.Metrics[metric.F1])
	}
}
