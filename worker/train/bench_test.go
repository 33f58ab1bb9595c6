package train

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// flights is rows in the shape of the five flight features, made once per
// shard and cut in batches of 64 Ki.
type flights struct{ rows int }

func (f flights) Read(_ context.Context, shard int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) { f.read(shard, yield) }
}

func (f flights) read(shard int, yield func(*Batch, error) bool) {
	random := rand.New(rand.NewPCG(1, uint64(shard)))
	const n = 1 << 16
	b := &Batch{Block: &kernel.Block{Rows: n, Numbers: [][]float32{make([]float32, n)}, Labels: make([]float32, n)}, Split: make([]uint8, n), Row: make([]int64, n)}
	for _, cardinality := range []int{230, 231, 25, 8} {
		ids := make([]uint32, n)
		for i := range ids {
			ids[i] = uint32(min(int(random.ExpFloat64()*float64(cardinality)/4), cardinality-1))
		}
		b.Block.Categories = append(b.Block.Categories, ids)
	}
	for i := range n {
		b.Block.Numbers[0][i], b.Block.Labels[i] = float32(random.NormFloat64()), float32(random.IntN(5)/4)
	}
	for from := 0; from < f.rows; from += n {
		for i := range b.Row {
			b.Row[i] = int64(from + i)
		}
		if !yield(b, nil) {
			return
		}
	}
}

// lossOf returns the loss of a type of label.
func lossOf(label string) pipeline.Choice {
	if label == model.Binary {
		return pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}
	}
	return pipeline.Choice{Name: "squared", Options: new(model.Squared)}
}

func flightsJob(b testing.TB, rows, replicas int) *Job {
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf("binary"), kernel.Shape{Numbers: 1, NumberNames: []string{"distance"},
		Cardinalities: []int{230, 231, 25, 8}, CategoryNames: []string{"origin", "destination", "hour", "weekday"}})
	if err != nil {
		b.Fatal(err)
	}
	return &Job{Run: "bench", Model: m, Threshold: 0.5, Shards: 1, Rows: flights{rows}, Trainer: pipeline.Trainer{Seed: 42, BatchSize: 1024, Epochs: 1,
		ValidationMetric: "log_loss", Optimizer: pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 0.004, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}},
		Regularization: pipeline.Regularization{L2: 0.01}, Distributed: pipeline.DistributedSpec{Replicas: pipeline.Count(replicas), SyncEvery: 64}}}
}

// oneReplica returns a job's trainer with the plan and the rows of its one replica,
// and a lane, for one core and so many bytes of rows in memory.
func oneReplica(b *testing.B, job *Job, bytes int64) (*trainer, *matrix, *lane) {
	t, err := newTrainer(job, Config{Dir: b.TempDir(), Parallelism: 1}.withDefaults())
	if err != nil {
		b.Fatal(err)
	}
	t.memory.limit = bytes
	matrices, err := build(b.Context(), job, &t.config, t.memory, []int{0})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(matrices[0].close)
	if t.state.plan, err = newPlan(job, t.algorithm, []facts{matrices[0].facts}); err != nil {
		b.Fatal(err)
	}
	return t, matrices[0], t.newLane()
}

// BenchmarkEpoch is an epoch of one replica on one core: the order of blocks,
// unpacking, gradients, penalty and Adam at batches of 1024 rows.
func BenchmarkEpoch(b *testing.B) {
	const rows = 1 << 20
	for name, bytes := range map[string]int64{"memory": 1 << 30, "spilled": 0} {
		b.Run(name, func(b *testing.B) {
			t, m, ln := oneReplica(b, flightsJob(b, rows, 1), bytes)
			t.state.Vector = make([]float32, t.algorithm.Size())
			at := optim.Round{Count: t.state.plan.schedule.Rounds}
			for b.Loop() {
				for at.Index = range at.Count {
					c, err := t.learn(b.Context(), ln, m, 0, at)
					if err != nil {
						b.Fatal(err)
					}
					t.state.Vector = c.vector.Float32
				}
				at.Epoch++
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkBuild reads and shuffles rows into matrices on one core.
func BenchmarkBuild(b *testing.B) {
	const rows = 1 << 19
	for _, replicas := range []int{1, 8} {
		for name, bytes := range map[string]int64{"memory": 1 << 30, "spilled": 0} {
			b.Run(fmt.Sprintf("%d replicas, %s", replicas, name), func(b *testing.B) {
				job := flightsJob(b, rows, replicas)
				held := make([]int, replicas)
				for r := range held {
					held[r] = r
				}
				config := &Config{Dir: b.TempDir(), Parallelism: 1}
				for b.Loop() {
					matrices, err := build(b.Context(), job, config, &memory{limit: bytes}, held)
					if err != nil {
						b.Fatal(err)
					}
					for _, m := range matrices {
						m.close()
					}
				}
				b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}
