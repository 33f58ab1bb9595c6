package train

import (
	"context"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// binnedFlights is flights with the number in bins, and a label that follows them.
type binnedFlights struct{ flights }

func (f binnedFlights) Read(_ context.Context, shard int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		random := rand.New(rand.NewPCG(7, 7))
		f.read(shard, func(b *Batch, err error) bool {
			ids := make([]uint32, b.Block.Rows)
			labels := make([]float32, b.Block.Rows)
			for i, x := range b.Block.Numbers[0] {
				ids[i] = uint32(min(max(128+x*40, 1), 255))
				z := 0.01*float64(ids[i]) + 0.3*float64(b.Block.Categories[0][i]%7) - 0.4*float64(b.Block.Categories[2][i]%5) - 2
				if z+random.NormFloat64() > 0 {
					labels[i] = 1
				}
			}
			block := &kernel.Block{Rows: b.Block.Rows, Categories: append([][]uint32{ids}, b.Block.Categories...), Labels: labels}
			return yield(&Batch{Block: block, Split: b.Split, Row: b.Row}, err)
		})
	}
}

// BenchmarkTrees grows trees of 63 leaves on one core, all rounds of ten of them.
func BenchmarkTrees(b *testing.B) {
	const rows = 1 << 18
	options := &model.Trees{Trees: 10, MaxLeaves: 63, MaxDepth: 10, LearningRate: 0.1, MinChildRows: 20}
	m, err := model.New(pipeline.Choice{Name: "trees", Options: options}, lossOf("binary"), kernel.Shape{Ordered: []int{0},
		Cardinalities: []int{256, 230, 231, 25, 8}, CategoryNames: []string{"distance", "origin", "destination", "hour", "weekday"}})
	if err != nil {
		b.Fatal(err)
	}
	job := flightsJob(b, rows, 1)
	job.Trainer.BatchSize = 1 << 14
	job.Model, job.Rows = m, binnedFlights{flights{rows}}
	job.Trainer.Optimizer = pipeline.Choice{Name: "boosting", Options: new(optim.Boosting)}
	t, rowsOf, ln := oneReplica(b, job, 1<<30)
	for b.Loop() {
		t.state.State = optim.State{Vector: make([]float32, t.algorithm.Size())}
		for i := range rowsOf.training {
			rowsOf.training[i].memo = nil
		}
		at := optim.Round{Count: t.state.plan.schedule.Rounds}
		for at.Index = range at.Count {
			c, err := t.learn(b.Context(), ln, rowsOf, 0, at)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := t.algorithm.Apply(&t.state.State, at, c.vector); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*rows*10/b.Elapsed().Seconds()/1e6, "Mrows-trees/s")
}
