package train_test

import (
	"context"
	"iter"
	"math"
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

// weighed gives each row of a source a weight by its first category.
type weighed struct {
	train.Rows
	by []float32
}

func (w weighed) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		for batch, err := range w.Rows.Read(ctx, shard) {
			if err == nil {
				batch.Block.Weights = nil
				for _, id := range batch.Block.Categories[0] {
					batch.Block.Weights = append(batch.Block.Weights, w.by[id])
				}
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// repeated has each training row as often as its weight says, which is a whole number.
type repeated struct{ weighed }

func (r repeated) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		for batch, err := range r.weighed.Read(ctx, shard) {
			if err != nil {
				yield(nil, err)
				return
			}
			b := batch.Block
			out := &train.Batch{Block: &kernel.Block{Numbers: make([][]float32, len(b.Numbers)), Categories: make([][]uint32, len(b.Categories))}}
			for i, split := range batch.Split {
				for k := range int(b.Weights[i]) {
					if k > 0 && split != train.Training {
						break
					}
					for j, column := range b.Numbers {
						out.Block.Numbers[j] = append(out.Block.Numbers[j], column[i])
					}
					for j, column := range b.Categories {
						out.Block.Categories[j] = append(out.Block.Categories[j], column[i])
					}
					out.Block.Rows++
					out.Block.Labels = append(out.Block.Labels, b.Labels[i])
					out.Split, out.Row = append(out.Split, split), append(out.Row, batch.Row[i]+int64(k)<<40)
				}
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// weigh lets the rows of a job weigh by their first category.
func weigh(job train.Job, by ...float32) train.Job {
	job.Rows = weighed{job.Rows, by}
	job.MostWeight = float64(slices.Max(by))
	return job
}

// weighedJobs are of each way to use weights: a step, a sum of gradients, histograms, their
// roots alone in a forest, and quantiles of leaves.
func weighedJobs(t testing.TB) map[string]train.Job {
	small := dataset{shards: 3, rows: 500, label: "binary", seed: 4}
	all := map[string]train.Job{"adam": newJob(t, small, 4), "lbfgs": lbfgsJob(t), "trees": treesJobOf(t, 400, "binary", lossOf("binary"), model.Trees{Trees: 11, MaxLeaves: 7, MaxDepth: 4, LearningRate: 0.2, MinChildRows: 10}),
		"trees of classes": classTreesJob(t), "trees of quantiles": quantileTreesJob(t), "forest": forestJob(t)}
	for name, job := range all {
		job.Trainer.Epochs = min(job.Trainer.Epochs, 6)
		all[name] = weigh(job, 0.2, 1.5, 0.7, 3, 40)
	}
	return all
}

// What rows weigh has a say in the model, and it is the same by any number of workers, where
// some are killed, and with nothing in memory.
func TestModelsOfWeighedRowsAreTheSame(t *testing.T) {
	for name, job := range weighedJobs(t) {
		want := alone(t, job)
		even := job
		even.Rows, even.MostWeight = job.Rows.(weighed).Rows, 0
		if want == alone(t, even) {
			t.Errorf("%s: weights have no say", name)
		}
		for _, workers := range []int{2, 4} {
			c := newCluster(t, 4, workers)
			c.workers[0].config.MemoryBytes = 1
			if got := c.runAll(job, noHooks); got != want {
				t.Errorf("%s, %d workers: %s\nwant %s", name, workers, got, want)
			}
		}
	}
	sameBitsWithKills(t, weighedJobs(t)["trees"])
}

// A weight of 1 for each row is no weight.
func TestRowsOfWeightOneAreRowsWithoutWeights(t *testing.T) {
	for name, job := range weighedJobs(t) {
		even := job
		even.Rows, even.MostWeight = job.Rows.(weighed).Rows, 0
		ones := weigh(even, 1, 1, 1, 1, 1)
		if got, want := trained(t, ones), trained(t, even); !near(got, want, 2e-5) {
			t.Errorf("%s: %v\nwithout weights %v", name, got[:5], want[:5])
		}
	}
}

func trained(t *testing.T, job train.Job) []float32 {
	t.Helper()
	c := newCluster(t, int(job.Trainer.Distributed.Replicas), 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return result.Params
}

func near(a, b []float32, bound float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Abs(float64(x)-float64(y)) <= bound*max(1, math.Abs(float64(y)))
	})
}

// A row of weight three is three rows: to lbfgs, for each type of label, and to trees, which
// are the very same, but for what they count rows by.
func TestAWeightIsSoManyRows(t *testing.T) {
	for _, label := range []string{"binary", "number", "category"} {
		job := newJob(t, dataset{shards: 2, rows: 700, label: label, seed: 5}, 2)
		job.Trainer.Optimizer = pipeline.Choice{Name: "lbfgs", Options: &optim.LBFGS{Memory: 10, Tolerance: 1e-6}}
		job.Trainer.Epochs, job.Trainer.Regularization.L2 = 200, 2
		heavy, often := weigh(job, 1, 3, 2, 1, 5), job
		often.Rows = repeated{heavy.Rows.(weighed)}
		bound := 2e-3
		if label == "number" {
			bound = 0.05 // of labels that deviate by hundreds
		}
		if got, want := trained(t, heavy), trained(t, often); !near(got, want, bound) {
			t.Errorf("%s: %v\nof repeated rows %v", label, got[:8], want[:8])
		}
	}
	for _, label := range []string{"binary", "number"} {
		job := treesJobOf(t, 700, label, lossOf(label), model.Trees{Trees: 20, MaxLeaves: 7, MaxDepth: 4, LearningRate: 0.2, MinChildRows: 1})
		shape := job.Model.Shape()
		shape.Ordered = []int{0, 1, 2, 3} // ids of categories are counted
		var err error
		if job.Model, err = job.Model.Forest().Options.New(job.Model.Loss(), shape); err != nil {
			t.Fatal(err)
		}
		heavy, often := weigh(job, 1, 3, 2, 1, 5), job
		often.Rows = repeated{heavy.Rows.(weighed)}
		f, got, want := job.Model.Forest(), trained(t, heavy), trained(t, often)
		for k := range f.Count(want) { // which count their rows too
			a, b := f.Tree(got, k), f.Tree(want, k)
			same := near(a.Values, b.Values, 1e-4) && slices.EqualFunc(a.Splits, b.Splits, func(x, y model.Split) bool {
				x.Set.Add(0) // what is missing goes with more rows, which no row is
				y.Set.Add(0)
				return x.Slot == y.Slot && x.Set == y.Set
			})
			if !same {
				t.Fatalf("tree %d of a %s is another than of repeated rows", k, label)
			}
		}
	}
}

// A weight that is none is named with its row.
func TestWeightsThatAreNoNumbersAreRefused(t *testing.T) {
	job := weigh(newJob(t, dataset{shards: 1, rows: 50, label: "binary", seed: 4}, 1), 1, 1, float32(math.NaN()), 1, 1)
	job.MostWeight = 1
	c := newCluster(t, 1, 1)
	if _, err := c.run(c.workers[0], job, train.Hooks{}); !thalweg.Is(err, thalweg.Invalid) || err == nil {
		t.Error(err)
	}
}
