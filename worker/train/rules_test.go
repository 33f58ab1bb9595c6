package train_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/schedule"
	"github.com/thalweg/thalweg/worker/train"
)

// chosen returns an entry of a catalog with its defaults and what set sets of it.
func chosen(t testing.TB, entries []pipeline.Entry, name string, set func(options any)) pipeline.Choice {
	t.Helper()
	for _, e := range entries {
		if e.Name == name {
			options, err := pipeline.Complete(e.Options)
			if err != nil {
				t.Fatal(err)
			}
			if set != nil {
				set(options)
			}
			return pipeline.Choice{Name: name, Options: options}
		}
	}
	t.Fatalf("there is no %s", name)
	return pipeline.Choice{}
}

// ways are what a trainer can say of the steps of SGD, the rules of the catalog with
// their defaults first.
func ways(t testing.TB) map[string]func(*pipeline.Trainer) {
	all := map[string]func(*pipeline.Trainer){}
	for _, e := range optim.Catalog() {
		if _, ok := e.Options.(optim.Optimizer); ok {
			all[e.Name] = func(tr *pipeline.Trainer) { tr.Optimizer = chosen(t, optim.Catalog(), e.Name, nil) }
		}
	}
	for _, e := range schedule.Catalog() {
		all["schedule "+e.Name] = func(tr *pipeline.Trainer) { tr.LearningRateScheduler = chosen(t, schedule.Catalog(), e.Name, nil) }
	}
	all["warm-up"] = func(tr *pipeline.Trainer) {
		tr.LearningRateScheduler = chosen(t, schedule.Catalog(), "cosine", func(o any) { o.(*schedule.Cosine).WarmupSteps = 7 })
	}
	all["l1"] = func(tr *pipeline.Trainer) { tr.Regularization.L1, tr.Regularization.L2 = 3, 0 }
	all["elastic net"] = func(tr *pipeline.Trainer) { tr.Regularization.L1, tr.Regularization.L2 = 3, 2 }
	all["l1 of lbfgs"] = func(tr *pipeline.Trainer) {
		tr.Regularization.L1 = 3
		tr.Optimizer = chosen(t, optim.Catalog(), "lbfgs", func(o any) { o.(*optim.LBFGS).WarmEpochs = 1 })
	}
	all["ftrl, l1"] = func(tr *pipeline.Trainer) {
		tr.Optimizer = chosen(t, optim.Catalog(), "ftrl", func(o any) { o.(*optim.FTRL).L1 = 0.1 })
	}
	all["decoupled"] = func(tr *pipeline.Trainer) { tr.Regularization.Decoupled = true }
	all["clipping"] = func(tr *pipeline.Trainer) {
		tr.GradientClipping = &pipeline.GradientClipping{GlobalNorm: 0.2, Value: 0.1}
	}
	all["outer momentum"] = func(tr *pipeline.Trainer) {
		tr.Distributed.OuterOptimizer = pipeline.OuterOptimizer{Type: "momentum", LearningRate: 0.3, Momentum: 0.9}
	}
	all["outer nesterov, l1"] = func(tr *pipeline.Trainer) {
		tr.Regularization.L1 = 3
		tr.Distributed.OuterOptimizer = pipeline.OuterOptimizer{Type: "nesterov", LearningRate: 0.7, Momentum: 0.9, Nesterov: true}
	}
	all["outer rate"] = func(tr *pipeline.Trainer) {
		tr.Distributed.OuterOptimizer = pipeline.OuterOptimizer{Type: "sgd", LearningRate: 0.5}
	}
	return all
}

// Every rule of the catalog, every schedule and every penalty gives the same bits for
// one, two and four workers and when it is resumed, and bits of its own.
func TestEveryWayToStepIsTheSameForAnyWorkersAndResumed(t *testing.T) {
	seen := map[string]string{}
	for name, set := range ways(t) {
		job := newJob(t, dataset{shards: 2, rows: 700, label: "binary", seed: 21}, 4)
		job.Trainer.Epochs, job.Trainer.StepsPerCheckpoint = 3, 4
		job.Trainer.Regularization.L2 = 2
		set(&job.Trainer)
		var saved []*train.Checkpoint
		want := newCluster(t, 4, 1).runAll(job, func(*worker) train.Hooks {
			return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
				saved = append(saved, k)
				return nil
			}}
		})
		for _, workers := range []int{2, 4}[len(name)%2:] {
			if got := newCluster(t, 4, workers).runAll(job, noHooks); got != want {
				t.Errorf("%s, %d workers: %s\nalone: %s", name, workers, got, want)
			}
		}
		k, resumed := saved[len(saved)/2], job
		resumed.Resume = k.Parts
		if got := newCluster(t, 4, 2).runAll(resumed, noHooks); got != want {
			t.Errorf("%s, resumed after round %d: %s\nwant %s", name, k.Rounds, got, want)
		}
		hash, _, _ := strings.Cut(want, ",")
		if other, ok := seen[hash]; ok && name != "adam" && name != "schedule constant" && name != "schedule reduce_on_plateau" &&
			other != "adam" && other != "schedule constant" && other != "schedule reduce_on_plateau" {
			t.Errorf("%s gives the parameters of %s", name, other)
		}
		seen[hash] = name
	}
}

// undecayed is a rule by its defaults, but for a weight decay of its own.
func undecayed(t *testing.T, rule string) pipeline.Choice {
	return chosen(t, optim.Catalog(), rule, func(o any) {
		if w, ok := o.(*optim.AdamW); ok {
			w.WeightDecay = 0
		}
	})
}

// Every rule, by its defaults, comes near to the optimum of a small table.
func TestEveryRuleConverges(t *testing.T) {
	const l2 = 1e-3
	source := noValidation{dataset{shards: 2, rows: 2000, label: "binary", seed: 11}}
	s := gather(t, source, 2)
	limit, start := s.objective(s.optimum(0, l2), l2), s.objective(make([]float64, 308), l2)
	for _, e := range optim.Catalog() {
		if _, ok := e.Options.(optim.Optimizer); !ok {
			continue
		}
		job := newJob(t, source.dataset, 2)
		job.Rows = source
		job.Trainer.Optimizer = undecayed(t, e.Name)
		job.Trainer.Epochs, job.Trainer.Regularization.L2 = 80, l2*float64(len(s.labels))
		c := newCluster(t, 2, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.objective(wide(result.Params), l2); got > limit+0.08*(start-limit) {
			t.Errorf("%s: objective %v, optimum %v, start %v", e.Name, got, limit, start)
		} else {
			t.Logf("%s: %.4f of the way", e.Name, (start-got)/(start-limit))
		}
	}
}

// lasso returns the objective with l1, and how many weights are zero.
func (s *sample) lasso(w []float64, l1, l2 float64) (objective float64, zeros int) {
	sum := 0.0
	for _, x := range w[:307] {
		sum += math.Abs(x)
		if x == 0 {
			zeros++
		}
	}
	return s.objective(w, l2) + l1*sum, zeros
}

// Weights that l1 leaves at zero are really zero, as many as at the optimum, whatever
// the rule, the replicas and the outer optimizer.
func TestL1LeavesWeightsReallyAtZero(t *testing.T) {
	source := noValidation{dataset{shards: 2, rows: 2000, label: "binary", seed: 11}}
	s := gather(t, source, 2)
	rows := float64(len(s.labels))
	const l1, l2 = 1e-3, 1e-3
	limit, zeros := s.lasso(s.optimum(l1, l2), l1, l2)
	start, _ := s.lasso(make([]float64, 308), l1, l2)
	for _, e := range optim.Catalog() {
		if _, step := e.Options.(optim.Penalizable); !step && e.Name != "lbfgs" {
			continue
		}
		job := newJob(t, source.dataset, 2)
		job.Rows = source
		job.Trainer.Optimizer = undecayed(t, e.Name)
		job.Trainer.Epochs, job.Trainer.Regularization = 80, pipeline.Regularization{L1: l1 * rows, L2: l2 * rows}
		c := newCluster(t, 2, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		got, none := s.lasso(wide(result.Params), l1, l2)
		if counted, weights := model.Zeros(job.Model, result.Params); counted != none || weights != 307 {
			t.Errorf("%s: %d of %d weights are counted as zero, not %d", e.Name, counted, weights, none)
		}
		near, few := 0.03, zeros*9/10
		if e.Name == "lbfgs" {
			near, few = 1e-4, zeros-3
		}
		t.Logf("%s, l2 %v: objective %.5f (optimum %.5f, start %.5f), %d of 307 weights are zero, %d at the optimum", e.Name, l2, got, limit, start, none, zeros)
		if got > limit+near*(start-limit) || none < few || none > zeros+zeros/10 {
			t.Errorf("%s, l2 %v: objective %v (optimum %v, start %v), %d of 307 weights are zero, %d at the optimum", e.Name, l2, got, limit, start, none, zeros)
		}
	}
}

// One epoch is always the best of all; that more would help is said where the rate did not
// fall to nothing by its end.
func TestTrainingStillImprovesUnlessItsRateHasFallen(t *testing.T) {
	for scheduler, want := range map[string]bool{"constant": true, "cosine": false} {
		job := newJob(t, dataset{shards: 3, rows: 1200, label: "binary", seed: 8}, 1)
		job.Trainer.Epochs = 1
		job.Trainer.LearningRateScheduler = chosen(t, schedule.Catalog(), scheduler, nil)
		c := newCluster(t, 1, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil || result.Improving != want {
			t.Errorf("%s: %v, %v, want %v", scheduler, result.Improving, err, want)
		}
	}
}
