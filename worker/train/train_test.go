package train_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// jobs are what the bits must not depend on the workers for: every optimizer,
// both labels, striped and whole shards, uneven replicas, more replicas than
// rows.
func jobs(t testing.TB) map[string]train.Job {
	small := dataset{shards: 3, rows: 2200, label: "binary", seed: 1}
	all := map[string]train.Job{
		"adam":         newJob(t, small, 4),
		"momentum":     newJob(t, small, 3),
		"sgd":          newJob(t, dataset{shards: 70, rows: 90, label: "binary", seed: 2}, 4),
		"number":       newJob(t, dataset{shards: 2, rows: 2500, label: "number", seed: 3}, 4),
		"classes":      newJob(t, dataset{shards: 2, rows: 1500, label: "category", seed: 6}, 3),
		"terms":        newJob(t, dataset{shards: 2, rows: 1500, label: "category", seed: 7, terms: 400}, 3),
		"hardly a row": newJob(t, dataset{shards: 1, rows: 9, label: "binary", seed: 4, batch: 2}, 4),
	}
	momentum := all["momentum"]
	momentum.Trainer.Optimizer = pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 0.05, Momentum: 0.9}}
	all["momentum"] = momentum
	sgd := all["sgd"]
	sgd.Trainer.Optimizer = pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: 0.5}}
	all["sgd"] = sgd
	for _, label := range []string{"binary", "number", "category"} {
		job := newJob(t, dataset{shards: 3, rows: 1500, label: label, seed: 5}, 4)
		job.Trainer.Optimizer = pipeline.Choice{Name: "lbfgs", Options: &optim.LBFGS{Memory: 5, Tolerance: 1e-4, WarmEpochs: 1}}
		job.Trainer.Epochs = 100
		all["lbfgs "+label] = job
		if label != "category" {
			all["trees "+label] = treesJob(t, label)
		}
		if label == "number" {
			all["warm trees"] = warm(treesJob(t, label), 14)
		}
	}
	addNetworks(t, all)
	addOthers(t, all)
	words := newJob(t, dataset{shards: 3, rows: 1500, label: "binary", seed: 8, terms: 20_000}, 2)
	words.Trainer.Epochs = 2
	all["wide terms"] = words
	for _, of := range []string{"adam", "lbfgs number"} {
		job := all[of]
		job.Start = make([]float32, job.Model.Size())
		for i := range job.Start {
			job.Start[i] = float32(i%3) / 4
		}
		all["warm "+of] = job
	}
	return all
}

// The parameters keep their bits, and are the same for any number of workers, and spilled to
// disk.
func TestModelIsTheSameWhereverItIsTrained(t *testing.T) {
	all := jobs(t)
	for n, name := range slices.Sorted(maps.Keys(all)) {
		job := all[name]
		t.Run(name, func(t *testing.T) {
			want := alone(t, job)
			if got, _, _ := strings.Cut(want, ","); got != bits[name] {
				t.Errorf("parameters of sha256 %s, want %s", got, bits[name])
			}
			for i, test := range []struct{ workers, segment int }{{2, 1 << 30}, {2, 1}, {4, 1}} {
				if !effort.Takes(n+i, 3) { // each job in one of them, and each of them by a third of the jobs
					continue
				}
				c := newCluster(t, int(job.Trainer.Distributed.Replicas), min(test.workers, int(job.Trainer.Distributed.Replicas)))
				c.segment = test.segment
				if got := c.runAll(job, noHooks); got != want {
					t.Errorf("%d workers, segments from %d: %s\nalone: %s", test.workers, test.segment, got, want)
				}
			}
			for i, bytes := range []int64{1, 20_000, 60_000} {
				if !effort.Takes(n+i+1, 3) {
					continue
				}
				c := newCluster(t, int(job.Trainer.Distributed.Replicas), 1)
				dir := c.workers[0].config.Dir
				c.workers[0].config.MemoryBytes = bytes
				if got := c.runAll(job, noHooks); got != want {
					t.Errorf("with %d bytes of memory: %s\nwant %s", bytes, got, want)
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("files left: %v, %v", left, err)
				}
			}
		})
	}
}

func TestModelIsTheSameForAnyBatchesOfTheSource(t *testing.T) {
	want := ""
	for _, batch := range []int{1, 333, 100_000} {
		got := alone(t, newJob(t, dataset{shards: 2, rows: 2500, label: "binary", seed: 5, batch: batch}, 2))
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("batches of %d: %s\nof 1: %s", batch, got, want)
		}
	}
}

func TestModelIsTheSameWithWorkersKilledAndReplicasTakenOver(t *testing.T) {
	job := newJob(t, dataset{shards: 3, rows: 2000, label: "binary", seed: 1}, 4)
	job.Trainer.Epochs = 2
	want := alone(t, job)
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 0))
		workers := 2 + random.IntN(3)
		victim := random.IntN(workers)
		// At this report of a worker's the victim is killed: of its own, between two
		// rounds, or of another's, wherever the victim is then in its round.
		witness, strike := random.IntN(workers), 1+random.IntN(15)
		c := newCluster(t, 4, workers)
		c.segment = []int{1, 1 << 30}[random.IntN(2)]
		var once sync.Once
		kill := func() {
			once.Do(func() {
				dead := c.workers[victim]
				c.strike(dead)
				c.move(func(a average.Assignment) {
					for r := range a {
						if a[r].Worker == dead.name {
							a[r] = c.workers[(victim+1+random.IntN(workers-1))%workers].holder()
						}
					}
				})
			})
		}
		got := c.runAll(job, func(w *worker) train.Hooks {
			if w != c.workers[witness] {
				return train.Hooks{}
			}
			reports := 0
			return train.Hooks{Progress: func(train.Progress) {
				if reports++; reports == strike {
					kill()
				}
			}}
		})
		if got != want {
			t.Fatalf("seed %d: %d workers, worker %d killed at report %d of worker %d: %s\nwant %s", seed, workers, victim, strike, witness, got, want)
		}
	}
}

func TestModelIsTheSameWhileReplicasWander(t *testing.T) {
	job := newJob(t, dataset{shards: 3, rows: 2000, label: "number", seed: 6}, 4)
	want := alone(t, job)
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := newCluster(t, 4, 3)
		var mu sync.Mutex
		got := c.runAll(job, func(w *worker) train.Hooks {
			return train.Hooks{Progress: func(train.Progress) {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(6) > 0 {
					return
				}
				// Worker 0 always keeps replica 0, so that someone is there at the end.
				r, to := 1+random.IntN(3), c.workers[random.IntN(3)]
				c.move(func(a average.Assignment) { a[r] = to.holder() })
			}}
		})
		if got != want {
			t.Fatalf("seed %d: %s\nwant %s", seed, got, want)
		}
	}
}

func TestModelIsTheSameResumed(t *testing.T) {
	for name, job := range jobs(t) {
		t.Run(name, func(t *testing.T) {
			job.Trainer.StepsPerCheckpoint = 8
			var saved []*train.Checkpoint
			c := newCluster(t, int(job.Trainer.Distributed.Replicas), 1)
			want := c.runAll(job, func(*worker) train.Hooks {
				return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
					saved = append(saved, k)
					return nil
				}}
			})
			last := saved[len(saved)-1]
			if !last.Finished || name == "adam" && len(saved) < 6 {
				t.Fatalf("%d checkpoints, the last finished: %v", len(saved), last.Finished)
			}
			for i, k := range saved {
				if i%3 != 0 && !k.Finished {
					continue
				}
				job.Resume = k.Parts
				again := newCluster(t, int(job.Trainer.Distributed.Replicas), 1+i%2)
				if got := again.runAll(job, noHooks); got != want {
					t.Errorf("resumed after %d epochs and %d rounds: %s\nwant %s", k.Epochs, k.Rounds, got, want)
				}
			}
		})
	}
}

func TestWorkersResumedFromDifferentCheckpointsMeet(t *testing.T) {
	job := newJob(t, dataset{shards: 3, rows: 4000, label: "binary", seed: 1}, 4)
	var saved []*train.Checkpoint
	want := newCluster(t, 4, 1).runAll(job, func(*worker) train.Hooks {
		return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
			saved = append(saved, k)
			return nil
		}}
	})
	c := newCluster(t, 4, 3)
	var wg sync.WaitGroup
	for i, w := range c.workers {
		job := job
		if i > 0 {
			job.Resume = saved[i-1].Parts
		}
		wg.Go(func() {
			result, err := c.run(w, job, train.Hooks{})
			if err != nil {
				t.Error(err)
			} else if got := summary(result); got != want {
				t.Errorf("worker %d: %s\nwant %s", i, got, want)
			}
		})
	}
	wg.Wait()
}

func TestWorkerThatComesBackGoesOnFromWhatItKnew(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	want := alone(t, job)
	c := newCluster(t, 2, 1)
	reports := 0
	_, err := c.run(c.workers[0], job, train.Hooks{Progress: func(train.Progress) {
		if reports++; reports == 20 {
			c.workers[0].kill(errKilled)
		}
	}})
	if !thalweg.Is(err, thalweg.Canceled) {
		t.Fatal(err)
	}
	first := int64(-1)
	got := c.runAll(job, func(*worker) train.Hooks {
		return train.Hooks{Progress: func(p train.Progress) {
			if first < 0 && p.Replicas[0].RowsDone > 0 {
				first = p.Replicas[0].RowsDone
			}
		}}
	})
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if first < 2000 {
		t.Errorf("it began again at row %d", first)
	}
}

func TestTrainingStopsEarlyAndKeepsTheBest(t *testing.T) {
	job := newJob(t, dataset{shards: 1, rows: 600, label: "binary", seed: 9}, 2)
	job.Trainer.Epochs, job.Trainer.EarlyStop = 100, 3
	job.Trainer.Optimizer.Options.(*optim.Adam).LearningRate = 0.1 // few rows, many steps: it overfits
	c := newCluster(t, 2, 1)
	var losses []float64
	result, err := c.run(c.workers[0], job, train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
		losses = append(losses, k.Metrics["log_loss"])
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, result)
	if result.Epochs != result.BestEpoch+3 || result.Epochs == 100 || !strings.Contains(result.Stopped, "no improvement of validation log_loss in 3 epochs") {
		t.Errorf("%d epochs, best %d: %s", result.Epochs, result.BestEpoch, result.Stopped)
	}
	for _, l := range losses {
		if l < result.Metrics["log_loss"] {
			t.Errorf("log loss %v kept where %v was reached", result.Metrics["log_loss"], l)
		}
	}
	if result.Metrics["log_loss"] != losses[result.BestEpoch-1] || losses[result.BestEpoch-1] != losses[len(losses)-1] {
		t.Errorf("losses %v, best epoch %d", losses, result.BestEpoch)
	}
}

// Many epochs fill no operator's log: each is a line at DEBUG alone.
func TestEpochsAreLoggedForDebuggingAlone(t *testing.T) {
	job := newJob(t, dataset{shards: 1, rows: 40, label: "binary", seed: 9}, 2)
	job.Trainer.Epochs, job.Trainer.EarlyStop = 50, 50
	c := newCluster(t, 2, 1)
	var log bytes.Buffer
	c.workers[0].config.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(log.String(), "\n")
	if epochs, debug := strings.Count(log.String(), `msg="epoch done"`), strings.Count(log.String(), "level=DEBUG"); epochs != result.Epochs || epochs < 10 || debug != lines {
		t.Errorf("%d epochs, %d in %d lines, %d of them for debugging", result.Epochs, epochs, lines, debug)
	}
}

func TestTrainingWithoutValidationRowsKeepsTheLast(t *testing.T) {
	job := newJob(t, noValidation{dataset{shards: 1, rows: 600, label: "binary", seed: 9}}.dataset, 2)
	job.Rows = noValidation{dataset{shards: 1, rows: 600, label: "binary", seed: 9}}
	c := newCluster(t, 2, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if result.BestEpoch != int(job.Trainer.Epochs) || len(result.Metrics) != 0 || result.Stopped != "all epochs done" {
		t.Errorf("best epoch %d, metrics %v: %s", result.BestEpoch, result.Metrics, result.Stopped)
	}
}

// noValidation is a dataset whose validation rows are training rows.
type noValidation struct{ dataset }

func (d noValidation) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return spoiled{d.dataset, func(b *train.Batch) {
		for i, s := range b.Split {
			if s == train.Validation {
				b.Split[i] = train.Training
			}
		}
	}}.Read(ctx, shard)
}

func TestDivergenceNamesRunReplicaAndRound(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "number", seed: 1}, 2)
	job.Trainer.Optimizer = pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: 1e6}}
	c := newCluster(t, 2, 1)
	_, err := c.run(c.workers[0], job, train.Hooks{})
	if !thalweg.Is(err, thalweg.Invalid) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"run flights-1-1", "replica ", "epoch 1, round ", "not finite", `learning_rate of sgd {"learning_rate":1000000}`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestBadRowsAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*train.Batch)
		says  string
	}{
		"NaN number":     {func(b *train.Batch) { b.Block.Numbers[1][5] = float32(math.NaN()) }, `number "y" is NaN`},
		"id too large":   {func(b *train.Batch) { b.Block.Categories[0][5] = 5 }, `category "few" has id 5 of 5`},
		"infinite label": {func(b *train.Batch) { b.Block.Labels[5] = float32(math.Inf(1)) }, "the label is +Inf"},
		"label of 2":     {func(b *train.Batch) { b.Block.Labels[5] = 2 }, "the label is 2: a binary label"},
		"short split":    {func(b *train.Batch) { b.Split = b.Split[1:] }, "splits"},
		"missing slot":   {func(b *train.Batch) { b.Block.Numbers = b.Block.Numbers[:1] }, "number slots"},
	} {
		d := dataset{shards: 2, rows: 3000, label: "binary", seed: 1}
		job := newJob(t, d, 1)
		job.Rows = spoiled{d, func(b *train.Batch) {
			b.Split[min(5, len(b.Split)-1)] = train.Training
			test.spoil(b)
		}}
		c := newCluster(t, 1, 1)
		_, err := c.run(c.workers[0], job, train.Hooks{})
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "shard ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// spoiled changes the batches of a dataset.
type spoiled struct {
	dataset
	spoil func(*train.Batch)
}

func (d spoiled) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		for b, err := range d.dataset.Read(ctx, shard) {
			if err == nil {
				d.spoil(b)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func TestRowsThatChangedSinceTheRunBeganAreRefused(t *testing.T) {
	d := dataset{shards: 2, rows: 3000, label: "binary", seed: 1}
	job := newJob(t, d, 2)
	var saved *train.Checkpoint
	newCluster(t, 2, 1).runAll(job, func(*worker) train.Hooks {
		return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
			if saved == nil {
				saved = k
			}
			return nil
		}}
	})
	job.Resume = saved.Parts
	job.Rows = spoiled{d, func(b *train.Batch) { b.Split[0] = train.Training; b.Split[1] = train.Unused }}
	c := newCluster(t, 2, 1)
	if _, err := c.run(c.workers[0], job, train.Hooks{}); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("error %v", err)
	}
}

func TestCheckpointOfAnotherJobIsRefused(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	c := newCluster(t, 2, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	job.Resume = result.Parts
	job.Trainer.Seed++
	if _, err := c.run(c.workers[0], job, train.Hooks{}); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("error %v", err)
	}
	job.Trainer.Seed--
	state := result.Parts[train.PartState]
	for _, n := range []int{0, 1, 100, 1000, len(state) / 2, len(state) - 1} {
		job.Resume = map[string][]byte{train.PartState: state[:n]}
		if _, err := c.run(c.workers[0], job, train.Hooks{}); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
}

func TestSourceErrorEndsTraining(t *testing.T) {
	want := fmt.Errorf("object is gone")
	d := dataset{shards: 4, rows: 3000, label: "binary", seed: 1, before: func(shard int) error {
		if shard == 2 {
			return want
		}
		return nil
	}}
	c := newCluster(t, 2, 1)
	if _, err := c.run(c.workers[0], newJob(t, d, 2), train.Hooks{}); err != want {
		t.Errorf("error %v", err)
	}
}

func TestWorkerWithoutReplicasIsFenced(t *testing.T) {
	c := newCluster(t, 2, 2)
	c.move(func(a average.Assignment) { a[1] = a[0] })
	if _, err := c.run(c.workers[1], newJob(t, dataset{shards: 1, rows: 100, label: "binary"}, 2), train.Hooks{}); !thalweg.Is(err, thalweg.Fenced) {
		t.Errorf("error %v", err)
	}
}

func TestNoTrainingRowsIsAnError(t *testing.T) {
	d := dataset{shards: 1, rows: 100, label: "binary"}
	job := newJob(t, d, 2)
	job.Rows = spoiled{d, func(b *train.Batch) { clear(b.Split); b.Split[0] = 0; fill(b.Split, 2) }}
	c := newCluster(t, 2, 1)
	if _, err := c.run(c.workers[0], job, train.Hooks{}); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "no training rows") {
		t.Errorf("error %v", err)
	}
}

func fill(s []uint8, v uint8) {
	for i := range s {
		s[i] = v
	}
}

func TestJobsOutOfRangeAreRefused(t *testing.T) {
	good := newJob(t, dataset{shards: 1, rows: 100, label: "binary"}, 2)
	for name, spoil := range map[string]func(*train.Job){
		"no model":          func(j *train.Job) { j.Model = nil },
		"no shards":         func(j *train.Job) { j.Shards = 0 },
		"no batch":          func(j *train.Job) { j.Trainer.BatchSize = 0 },
		"huge batch":        func(j *train.Job) { j.Trainer.BatchSize = 1 << 30 },
		"no epochs":         func(j *train.Job) { j.Trainer.Epochs = 0 },
		"negative patience": func(j *train.Job) { j.Trainer.EarlyStop = -1 },
		"no replicas":       func(j *train.Job) { j.Trainer.Distributed.Replicas = 0 },
		"too many replicas": func(j *train.Job) { j.Trainer.Distributed.Replicas = train.MaxReplicas + 1 },
		"endless epochs":    func(j *train.Job) { j.Trainer.Epochs = math.MaxInt },
		"endless rounds":    func(j *train.Job) { j.Trainer.Distributed.SyncEvery = math.MaxInt },
		"no rounds":         func(j *train.Job) { j.Trainer.Distributed.SyncEvery = 0 },
		"NaN l1":            func(j *train.Job) { j.Trainer.Regularization.L1 = math.NaN() },
		"NaN l2":            func(j *train.Job) { j.Trainer.Regularization.L2 = math.NaN() },
		"unknown metric":    func(j *train.Job) { j.Trainer.ValidationMetric = "luck" },
		"foreign metric":    func(j *train.Job) { j.Trainer.ValidationMetric = "mse" },
		"optimizer":         func(j *train.Job) { j.Trainer.Optimizer.Options = nil },
		"learning rate":     func(j *train.Job) { j.Trainer.Optimizer.Options = &optim.SGD{LearningRate: -1} },
	} {
		job := good
		spoil(&job)
		if _, err := train.Run(t.Context(), job, nil, train.Hooks{}, train.Config{}); err == nil || thalweg.KindOf(err) == thalweg.Other {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, config := range map[string]train.Config{"negative memory": {MemoryBytes: -1}, "nothing but checkpoints": {CheckpointShare: 1}} {
		if _, err := train.Run(t.Context(), good, nil, train.Hooks{}, config); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnwritableSpillDirectoryIsNamed(t *testing.T) {
	c := newCluster(t, 2, 1)
	c.workers[0].config.Dir = filepath.Join(t.TempDir(), "absent")
	c.workers[0].config.MemoryBytes = 1
	_, err := c.run(c.workers[0], newJob(t, dataset{shards: 1, rows: 1000, label: "binary"}, 2), train.Hooks{})
	if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("error %v", err)
	}
}

func TestProgressCountsRowsOfHeldReplicas(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	c := newCluster(t, 2, 1)
	var reports []train.Progress
	result, err := c.run(c.workers[0], job, train.Hooks{Progress: func(p train.Progress) { reports = append(reports, p) }})
	if err != nil {
		t.Fatal(err)
	}
	last := reports[len(reports)-1]
	var total int64
	for _, r := range last.Replicas {
		if r.RowsDone != r.RowsTotal {
			t.Errorf("replica %d ended at %d of %d rows", r.Replica, r.RowsDone, r.RowsTotal)
		}
		total += r.RowsTotal
	}
	if total != result.Ledger.Expected.Rows*int64(job.Trainer.Epochs) {
		t.Errorf("%d rows in all, the ledger expects %d an epoch", total, result.Ledger.Expected.Rows)
	}
	if reports[0].Message != "reading rows" || !strings.Contains(last.Message, "all epochs done") || !strings.Contains(last.Message, "validation log_loss 0.") {
		t.Errorf("messages %q and %q", reports[0].Message, last.Message)
	}
	for i := 1; i < len(reports); i++ {
		if reports[i].Replicas[0].RowsDone < reports[i-1].Replicas[0].RowsDone {
			t.Errorf("progress went back at report %d", i)
		}
	}
}
