package train_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// Descent is gradient descent with a line search, a second algorithm that has
// little in common with the first: an epoch is two passes over all rows, which sum
// up the gradient in float64, and the losses at several rates in integers. Behind
// the parameters its vector keeps the direction.
type Descent struct {
	// Rates is how many rates the line search tries.
	Rates int `yaml:"rates,omitempty" json:"rates,omitempty" jsonschema:"minimum=1,maximum=16"`
}

// Defaults implements pipeline.Defaulter.
func (d *Descent) Defaults(at pipeline.Place) { pipeline.Default(at, "rates", &d.Rates, 8) }

// New implements optim.Spec.
func (d *Descent) New(m *model.Model, _ *pipeline.Trainer) (optim.Algorithm, error) {
	return descent{m, d.Rates}, nil
}

type descent struct {
	model *model.Model
	rates int
}

// lossUnit is how finely losses are told apart as integers.
const lossUnit = 1 << 20

func (d descent) Size() int                   { return 2 * d.model.Size() }
func (d descent) Schedule(int) optim.Schedule { return optim.Schedule{Rounds: 2, Passes: 2} }

func (d descent) Zeros(s *optim.State, at optim.Round) kernel.Vector {
	if at.Last() {
		return kernel.Vector{Int64: make([]int64, d.rates)}
	}
	return kernel.Vector{Float64: make([]float64, d.model.Size())}
}

func (d descent) Contribute(r *optim.Replica, s *optim.State, at optim.Round) (v kernel.Vector, loss float64, err error) {
	v = d.Zeros(s, at)
	for step, err := range r.Steps(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		if !at.Last() {
			loss += d.model.Gradient(r.Workspace, s.Vector[:d.model.Size()], step.Block, step.Seed, r.Gradient)
			kernel.Accumulate(v.Float64, r.Gradient, float64(step.Rows))
			continue
		}
		for i := range v.Int64 {
			v.Int64[i] += int64(d.model.Gradient(r.Workspace, d.moved(s, i), step.Block, step.Seed, r.Gradient) * lossUnit)
		}
	}
	return v, loss, nil
}

// moved returns the parameters after a step at rate i.
func (d descent) moved(s *optim.State, i int) []float32 {
	n := d.model.Size()
	vector := make([]float32, 2*n)
	copy(vector, s.Vector[:n])
	kernel.AddScaled(vector[:n], s.Vector[n:], float32(math.Ldexp(4, -i)))
	return vector[:n]
}

func (d descent) Apply(s *optim.State, at optim.Round, reduced kernel.Vector) (checkpoint bool, err error) {
	n := d.model.Size()
	if !at.Last() {
		var square float64
		for _, g := range reduced.Float64 {
			square += float64(g * g)
		}
		vector := make([]float32, 2*n)
		copy(vector, s.Vector[:n])
		kernel.Narrow(vector[n:], reduced.Float64, -1/math.Sqrt(square))
		s.Vector = vector
		return true, nil // between the two passes, to be resumed there too
	}
	best := 0
	for i, loss := range reduced.Int64 {
		if loss < reduced.Int64[best] {
			best = i
		}
	}
	params := d.moved(s, best)
	s.Vector = params[:2*n]
	s.Blend(params[:n:n])
	return false, nil
}

func descentJob(t testing.TB) train.Job {
	job := newJob(t, dataset{shards: 3, rows: 1200, label: "binary", seed: 8}, 4)
	job.Trainer.Optimizer = pipeline.Choice{Name: "descent", Options: &Descent{Rates: 8}}
	job.Trainer.Epochs, job.Trainer.EarlyStop = 6, 0
	return job
}

func TestSecondAlgorithmLearns(t *testing.T) {
	var losses []float64
	c := newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], descentJob(t), train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
		if k.Rounds%2 == 0 {
			losses = append(losses, k.Metrics["log_loss"])
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, result)
	if result.Ledger.Passes != 2 || result.Epochs != 6 || result.Rounds != 12 {
		t.Errorf("%d passes, %d epochs, %d rounds", result.Ledger.Passes, result.Epochs, result.Rounds)
	}
	if len(losses) != 6 || losses[0] > math.Ln2 || losses[5] > losses[0]-0.02 {
		t.Errorf("validation losses %v", losses)
	}
}

// flawed is descent with an Apply that breaks the contract.
type flawed struct {
	descent
	apply func(s *optim.State)
}

func (f flawed) New(*model.Model, *pipeline.Trainer) (optim.Algorithm, error) { return f, nil }

func (f flawed) Apply(s *optim.State, _ optim.Round, _ kernel.Vector) (checkpoint bool, err error) {
	f.apply(s)
	return false, nil
}

func TestAlgorithmThatLeavesNoCandidateOrAnotherVectorFailsTheRun(t *testing.T) {
	for want, apply := range map[string]func(*optim.State){
		"a candidate of 0 rounds":  func(*optim.State) {},
		"left a vector of 1 eleme": func(s *optim.State) { s.Vector = s.Vector[:1]; s.Blend(s.Vector) },
	} {
		job := descentJob(t)
		job.Trainer.Optimizer.Options = flawed{descent{job.Model, 8}, apply}
		c := newCluster(t, 4, 1)
		if _, err := c.run(c.workers[0], job, noHooks(nil)); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// lbfgsJob is a job of the built-in algorithm that is not SGD, begun with it.
func lbfgsJob(t testing.TB) train.Job {
	job := descentJob(t)
	job.Trainer.Optimizer = pipeline.Choice{Name: "lbfgs", Options: &optim.LBFGS{Memory: 3, Tolerance: 1e-5, WarmEpochs: 1}}
	job.Trainer.Epochs = 30
	return job
}

func TestSecondAlgorithmHasTheSameBitsForAnyWorkersWithKills(t *testing.T) {
	t.Run("descent", func(t *testing.T) { sameBitsWithKills(t, descentJob(t)) })
	t.Run("lbfgs", func(t *testing.T) { sameBitsWithKills(t, lbfgsJob(t)) })
	t.Run("trees", func(t *testing.T) { sameBitsWithKills(t, treesJob(t, "binary")) })
	t.Run("mlp", func(t *testing.T) {
		sameBitsWithKills(t, mlpJob(t, dataset{shards: 3, rows: 600, label: "binary", seed: 5}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "relu", Dropout: 0.1}))
	})
	others := make(map[string]train.Job)
	addOthers(t, others)
	t.Run("cnn", func(t *testing.T) { sameBitsWithKills(t, others["cnn"]) })
	t.Run("fm", func(t *testing.T) { sameBitsWithKills(t, others["fm"]) })
	t.Run("knn", func(t *testing.T) { sameBitsWithKills(t, others["knn binary"]) })
	t.Run("knn on a hidden layer", func(t *testing.T) { sameBitsWithKills(t, others["knn hidden"]) })
	t.Run("trees of classes", func(t *testing.T) { sameBitsWithKills(t, classTreesJob(t)) })
	t.Run("trees that are refitted", func(t *testing.T) { sameBitsWithKills(t, warm(forestJob(t), 5)) })
	t.Run("trees of quantiles", func(t *testing.T) { sameBitsWithKills(t, quantileTreesJob(t)) })
	t.Run("forest", func(t *testing.T) { sameBitsWithKills(t, forestJob(t)) })
}

func sameBitsWithKills(t *testing.T, job train.Job) {
	want := alone(t, job)
	for seed := range effort.Seeds(3, 9) { // one for each number of workers
		random := rand.New(rand.NewPCG(seed, 2))
		workers := []int{1, 2, 4}[seed%3]
		c := newCluster(t, 4, workers)
		c.segment = []int{1, 1 << 30}[random.IntN(2)]
		victim, strike := workers-1, 1+random.IntN(12)
		var once sync.Once
		got := c.runAll(job, func(w *worker) train.Hooks {
			reports := 0
			return train.Hooks{Progress: func(train.Progress) {
				if reports++; reports < strike || workers == 1 || w != c.workers[0] {
					return
				}
				once.Do(func() {
					dead := c.workers[victim]
					c.strike(dead)
					c.move(func(a average.Assignment) {
						for r := range a {
							if a[r].Worker == dead.name {
								a[r] = c.workers[random.IntN(workers-1)].holder()
							}
						}
					})
				})
			}}
		})
		if got != want {
			t.Fatalf("seed %d: %d workers, the last killed at report %d: %s\nwant %s", seed, workers, strike, got, want)
		}
	}
}

func TestSecondAlgorithmIsTheSameResumed(t *testing.T) {
	t.Run("descent", func(t *testing.T) { sameResumed(t, descentJob(t), 12) })
	t.Run("lbfgs", func(t *testing.T) { sameResumed(t, lbfgsJob(t), 30) })
	t.Run("trees", func(t *testing.T) { sameResumed(t, treesJob(t, "binary"), 3) })
	t.Run("trees of classes", func(t *testing.T) { sameResumed(t, classTreesJob(t), 2) })
	t.Run("trees that are refitted", func(t *testing.T) { sameResumed(t, warm(treesJob(t, "number"), 14), 3) })
}

func sameResumed(t *testing.T, job train.Job, checkpoints int) {
	var saved []*train.Checkpoint
	want := newCluster(t, 4, 1).runAll(job, func(*worker) train.Hooks {
		return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
			saved = append(saved, k)
			return nil
		}}
	})
	if len(saved) != checkpoints {
		t.Fatalf("%d checkpoints", len(saved))
	}
	for i, k := range saved {
		if i%max(1, len(saved)/6) > 0 && !k.Finished {
			continue
		}
		job.Resume = k.Parts
		if got := newCluster(t, 4, 1+i%2).runAll(job, noHooks); got != want {
			t.Errorf("%s\nwant %s", fmt.Sprintf("resumed after round %d: %s", k.Rounds, got), want)
		}
	}
}
