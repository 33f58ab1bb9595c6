package bench

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

const (
	wideSlots   = 39
	wideBuckets = (1 << 22) / wideSlots
	wideShards  = 4
)

// wideRows are rows of 39 hashed categories whose values are as unequal as words are.
type wideRows struct{ perShard int }

func (w wideRows) Read(_ context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		random := rand.New(rand.NewPCG(uint64(shard), 2))
		keys := rand.NewZipf(random, 1.1, 1, 1<<20)
		const n = 1 << 13
		for from := 0; from < w.perShard; from += n {
			b := &train.Batch{Block: &kernel.Block{Rows: n, Labels: make([]float32, n)}, Split: make([]uint8, n), Row: make([]int64, n)}
			for slot := range uint64(wideSlots) {
				ids := make([]uint32, n)
				for i := range ids {
					ids[i] = uint32(kernel.Mix(keys.Uint64()*kernel.Golden+slot) % wideBuckets)
				}
				b.Block.Categories = append(b.Block.Categories, ids)
			}
			for i := range n {
				b.Block.Labels[i], b.Row[i] = float32(random.IntN(2)), int64(from+i)
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// BenchmarkOverlap trains a model of 2^22 weights on two workers over loopback, and says how much of
// the time after rows were read a worker is in exchanges, its own contribution made: the most
// that averaging beside the steps of the next round could save. `bytes/cpu-s` is what a network must
// carry so that it is not what is waited for.
func BenchmarkOverlap(b *testing.B) {
	const rows, replicas = 1 << 19, 8
	shape := kernel.Shape{}
	for slot := range wideSlots {
		shape.Cardinalities = append(shape.Cardinalities, wideBuckets)
		shape.CategoryNames = append(shape.CategoryNames, fmt.Sprint("h", slot))
	}
	linear := pipeline.Choice{Name: "linear", Options: new(model.Linear)}
	for _, rule := range []pipeline.Choice{{Name: "sgd", Options: &optim.SGD{LearningRate: 0.1}},
		{Name: "adam", Options: &optim.Adam{LearningRate: 0.005, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}}} {
		for name, every := range map[string]int{"auto": 0, "once an epoch": 1 << 20} {
			b.Run(rule.Name+", "+name, func(b *testing.B) {
				for b.Loop() {
					began := cpu(b)
					_, c, received := onTwoWorkers(b, replicas, func() train.Job {
						m, err := model.New(linear, pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}, shape)
						check(b, err)
						trainer := optim.Resolve(pipeline.Trainer{Seed: 42, BatchSize: 1024, Epochs: 3, ValidationMetric: "log_loss", Optimizer: rule,
							Distributed: pipeline.DistributedSpec{Replicas: replicas, SyncEvery: pipeline.Count(every)}}, linear, shape, rows)
						return train.Job{Metrics: metric.Catalog(), Run: "bench", Trainer: trainer, Model: m, Threshold: 0.5,
							Shards: wideShards, Rows: wideRows{rows / wideShards}, Input: "bench"}
					})
					b.ReportMetric(float64(c.exchanges), "exchanges")
					b.ReportMetric(received/1e6, "MB/worker")
					b.ReportMetric((cpu(b) - began).Seconds(), "cpu-s")
					b.ReportMetric(time.Since(c.began).Seconds(), "training-s")
					b.ReportMetric(c.waited.Seconds()/time.Since(c.began).Seconds(), "waiting")
				}
			})
		}
	}
}
