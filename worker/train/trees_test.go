package train_test

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim/boosting"
	"github.com/thalweg/thalweg/worker/train"
)

// binned is a dataset with its numbers in bins and fewer values of its categories.
type binned struct{ dataset }

func (d binned) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		for batch, err := range d.dataset.Read(ctx, shard) {
			if err == nil {
				b := batch.Block
				for _, column := range b.Numbers {
					ids := make([]uint32, b.Rows)
					for i, x := range column {
						ids[i] = uint32(min(max(x*20+64, 1), 127))
					}
					b.Categories = append(b.Categories, ids)
				}
				for i, id := range b.Categories[1] {
					b.Categories[1][i] = min(id, 255)
				}
				b.Numbers = nil
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// treesJob is a job that grows trees, whose states hold histograms.
func treesJob(t testing.TB, label string) train.Job {
	job := treesJobOf(t, 1200, label, lossOf(label), model.Trees{Trees: 25, MaxLeaves: 15, MaxDepth: 5, LearningRate: 0.2, MinChildRows: 10})
	job.Trainer.EarlyStop, job.Trainer.Epochs = 0, 3
	return job
}

// classTreesJob is a small one of several classes, which samples rows and features.
func classTreesJob(t testing.TB) train.Job {
	return treesJobOf(t, 400, "category", lossOf("category"), model.Trees{Trees: 11, MaxLeaves: 7, MaxDepth: 4, LearningRate: 0.2, MinChildRows: 10, Subsample: 0.7, ColumnSample: 0.8})
}

// quantileTreesJob is a small one whose leaves are renewed, forestJob one of trees that
// are averaged.
func quantileTreesJob(t testing.TB) train.Job {
	bound, err := model.Bind(pipeline.Choice{Name: "quantile", Options: &model.Quantile{Levels: []float64{0.1, 0.6}}},
		model.Labels{Type: model.Number, Mean: 5000, Deviation: 200, Constants: []float64{4800, 5020}})
	if err != nil {
		t.Fatal(err)
	}
	job := treesJobOf(t, 400, "number", bound, model.Trees{Trees: 11, MaxLeaves: 7, MaxDepth: 3, LearningRate: 0.2, MinChildRows: 10})
	job.Trainer.ValidationMetric = "pinball"
	return job
}

func forestJob(t testing.TB) train.Job {
	return treesJobOf(t, 400, "binary", lossOf("binary"),
		model.Trees{Boosting: "forest", Trees: 15, MaxLeaves: 31, MaxDepth: 8, LearningRate: 1, MinChildRows: 3, Subsample: 0.632, ColumnSample: 0.5})
}

// treesJobOf is a job of so many rows a shard.
func treesJobOf(t testing.TB, rows int, label string, loss pipeline.Choice, options model.Trees) train.Job {
	job := newJob(t, dataset{shards: 3, rows: rows, label: label, seed: 8}, 4)
	m, err := options.New(loss.Options.(model.Loss),
		kernel.Shape{Cardinalities: []int{5, 256, 128, 128}, Ordered: []int{2, 3}, CategoryNames: []string{"few", "many", "x", "y"}})
	if err != nil {
		t.Fatal(err)
	}
	job.Model, job.Rows = m, binned{job.Rows.(dataset)}
	job.Trainer.Optimizer = pipeline.Choice{Name: "boosting", Options: new(boosting.Spec)}
	job.Trainer.Epochs = 2
	return job
}

// warm lets a job start from some trees.
func warm(job train.Job, trees int) train.Job {
	f := job.Model.Forest()
	job.Start = make([]float32, job.Model.Size())
	for k := range trees * f.Outputs() {
		tree := model.Tree{Values: []float32{0.1, -0.2, 0.3}, Splits: []model.Split{{Slot: 2, Left: 1, Right: ^2, Gain: 1}, {Slot: k % 2, Left: ^0, Right: ^1, Gain: 1}}}
		for id := range 40 + k {
			tree.Splits[0].Set.Add(id)
		}
		tree.Splits[1].Set.Add(1 + k%3)
		f.Put(job.Start, k, &tree)
	}
	return job
}

// What is learned from a version's trees does not depend on workers, replicas, moves and
// disks either, and is another model than without.
func TestRefittedTreesAreTheSame(t *testing.T) {
	for name, of := range map[string]func(testing.TB) train.Job{"classes": classTreesJob, "quantiles": quantileTreesJob, "forest": forestJob} {
		job := warm(of(t), 4)
		want := alone(t, job)
		if want == alone(t, of(t)) {
			t.Errorf("%s: the start has no say", name)
		}
		for _, workers := range []int{2, 4} {
			c := newCluster(t, 4, workers)
			c.workers[0].config.MemoryBytes = 1
			if got := c.runAll(job, noHooks); got != want {
				t.Errorf("%s, %d workers: %s\nwant %s", name, workers, got, want)
			}
		}
	}
}

func TestTreesLearn(t *testing.T) {
	c := newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], treesJob(t, "binary"), train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, result)
	if result.Ledger.Passes != 10 || result.Epochs != 3 || result.Metrics["log_loss"] > 0.55 {
		t.Errorf("%d passes, %d epochs, %v", result.Ledger.Passes, result.Epochs, result.Metrics)
	}
}

// A forest has all its trees, whatever the validation rows say of the first ones.
func TestAForestIsNotStoppedEarly(t *testing.T) {
	job := forestJob(t)
	job.Trainer.EarlyStop, job.Trainer.Epochs = 1, 2
	job.Trainer.ValidationMetric = "roc_auc"
	c := newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if n := job.Model.Forest().Count(result.Params); n != 15 || result.BestEpoch != 2 || result.Stopped != "converged" {
		t.Errorf("%d trees, best epoch %d, %s", n, result.BestEpoch, result.Stopped)
	}
}

func TestTreesAreTheSameSpilledToDisk(t *testing.T) {
	for _, job := range []train.Job{treesJob(t, "binary"), classTreesJob(t), quantileTreesJob(t), forestJob(t)} {
		want := alone(t, job)
		c := newCluster(t, 4, 2)
		for _, w := range c.workers {
			w.config.MemoryBytes = 1
		}
		if got := c.runAll(job, noHooks); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestTreesAreTheSameForAnyReplicas(t *testing.T) {
	for name, of := range map[string]func(testing.TB) train.Job{"classes": classTreesJob, "quantiles": quantileTreesJob, "forest": forestJob} {
		var want []float32
		for _, replicas := range []int{1, 2, 4} {
			job := of(t)
			job.Trainer.Distributed.Replicas = pipeline.Count(replicas)
			c := newCluster(t, replicas, 1)
			result, err := c.run(c.workers[0], job, train.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = result.Params
			}
			if !slices.Equal(result.Params, want) {
				t.Errorf("%s: %d replicas grow other trees", name, replicas)
			}
		}
	}
}

// A worker that comes back in the midst of a tree goes on from the snapshot that
// its server kept, histograms included.
func TestATreeGoesOnFromASnapshotInItsMidst(t *testing.T) {
	job := treesJob(t, "binary")
	want := alone(t, job)
	for stop := 3; stop < 60; stop += 7 {
		c := newCluster(t, 4, 1)
		reports := 0
		if _, err := c.run(c.workers[0], job, train.Hooks{Progress: func(train.Progress) {
			if reports++; reports == stop {
				c.workers[0].kill(errKilled)
			}
		}}); !thalweg.Is(err, thalweg.Canceled) {
			t.Fatal(err)
		}
		if got := c.runAll(job, noHooks); got != want {
			t.Errorf("stopped at report %d: %s\nwant %s", stop, got, want)
		}
	}
}
