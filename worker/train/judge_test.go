package train

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// Of epochs that few validation rows cannot tell apart the latest is the result, where an
// algorithm wants that; training stops by the best one all the same; so where the learning rate falls to zero.
func TestTheLatestOfEpochsThatAreAlikeIsTheResult(t *testing.T) {
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)},
		kernel.Shape{Numbers: 1, NumberNames: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		later  bool
		rests  bool // without early stopping
		rows   float64
		losses []float64
		best   int
		top    float64
	}{
		"few rows":         {true, false, 100, []float64{0.5, 0.4, 0.42, 0.43, 0.41}, 5, 0.4},
		"beyond chance":    {true, false, 100, []float64{0.5, 0.4, 0.43, 0.45, 0.49}, 3, 0.4},
		"a drift":          {true, false, 100, []float64{0.5, 0.4, 0.43, 0.46, 0.47}, 3, 0.4},
		"many rows":        {true, false, 1e6, []float64{0.5, 0.4, 0.42, 0.43, 0.41}, 2, 0.4},
		"another learner":  {false, false, 100, []float64{0.5, 0.4, 0.42, 0.43, 0.41}, 2, 0.4},
		"at rest":          {false, true, 100, []float64{0.5, 0.4, 0.43, 0.415}, 4, 0.4},
		"at rest, many":    {false, true, 400, []float64{0.5, 0.4, 0.43, 0.415}, 2, 0.4},
		"as good as again": {false, false, 100, []float64{0.5, 0.4, 0.4, 0.4, 0.4}, 2, 0.4},
	} {
		tr := &trainer{job: &Job{Metrics: metric.Catalog(), Model: m, Trainer: pipeline.Trainer{ValidationMetric: metric.LogLoss, EarlyStop: 3, Epochs: 100}}}
		if test.rests {
			tr.job.Trainer.EarlyStop, tr.job.Trainer.Epochs = 0, pipeline.Count(len(test.losses))
		}
		s := &state{plan: &plan{schedule: optim.Schedule{PreferLater: test.later, Anneals: test.rests}}}
		for epoch, loss := range test.losses {
			if s.Stopped != "" {
				t.Fatalf("%s: stopped after epoch %d", name, epoch)
			}
			s.Candidate = []float32{float32(loss)}
			tr.judge(s, epoch, map[string]float64{metric.Rows: test.rows, metric.LogLoss: loss})
		}
		if s.Best != test.best || s.Top != test.top || s.Stopped == "" || s.Metrics[metric.LogLoss] != test.losses[test.best-1] || s.best[0] != float32(test.losses[test.best-1]) {
			t.Errorf("%s: best epoch %d, top %v, stopped %q, %v", name, s.Best, s.Top, s.Stopped, s.Metrics)
		}
	}
}
