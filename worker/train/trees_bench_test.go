package train

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/optim/boosting"
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

// forestJob grows ten trees on binned flights.
func forestJob(tb testing.TB, rows int) *Job {
	tb.Helper()
	options := &model.Trees{Trees: 10, MaxLeaves: 63, MaxDepth: 10, LearningRate: 0.1, MinChildRows: 20}
	m, err := model.New(pipeline.Choice{Name: "trees", Options: options}, lossOf("binary"), kernel.Shape{Ordered: []int{0},
		Cardinalities: []int{256, 230, 231, 25, 8}, CategoryNames: []string{"distance", "origin", "destination", "hour", "weekday"}})
	if err != nil {
		tb.Fatal(err)
	}
	job := flightsJob(tb, rows, 1)
	job.Trainer.BatchSize = 1 << 14
	job.Model, job.Rows = m, binnedFlights{flights{rows}}
	job.Trainer.Optimizer = pipeline.Choice{Name: "boosting", Options: new(boosting.Spec)}
	return job
}

// grow makes all rounds of an epoch, and an evaluation, and returns the parameters.
func grow(tb testing.TB, t *trainer, m *matrix, ln *lane) []float32 {
	tb.Helper()
	t.state.State = optim.State{Vector: make([]float32, t.algorithm.Size())}
	at := optim.Round{Count: t.state.plan.schedule.Rounds}
	for at.Index = range at.Count {
		c, err := t.learn(tb.Context(), ln, m, 0, at)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := t.algorithm.Apply(&t.state.State, at, c.vector); err != nil {
			tb.Fatal(err)
		}
	}
	params := t.state.Vector[:t.job.Model.Size()]
	if _, err := t.evaluate(tb.Context(), ln, m, 0, 0, params); err != nil {
		tb.Fatal(err)
	}
	return params
}

func TestWhatTreesKeepOfARowIsInTheMemoryBound(t *testing.T) {
	const rows = 1 << 13
	job := forestJob(t, rows)
	job.Trainer.BatchSize = 1 << 11
	var want []float32
	for _, limit := range []int64{1 << 30, rows * 36, rows * 20, 0} {
		trainer, m, ln := oneReplica(t, job, limit)
		got := grow(t, trainer, m, ln)
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: other trees", limit)
		}
		var held, kept int64
		for _, b := range append(slices.Clone(m.training), m.validation...) {
			held += int64(4*len(b.floats) + len(b.small))
			switch v := b.memo.value.(type) {
			case nil:
			case optim.Spillable:
				kept += int64(v.Bytes())
			default:
				kept += int64(4 * b.rows) // outputs of validation rows
			}
		}
		if used := trainer.memory.used.Load(); used > limit || held+kept > used {
			t.Errorf("limit %d: %d bytes of rows and %d of what is kept of them, %d reserved", limit, held, kept, used)
		}
		if limit == 1<<30 && kept < 20*m.facts.Rows.Rows || limit == 0 && kept > 0 {
			t.Errorf("limit %d: %d bytes are kept", limit, kept)
		}
	}
}

// BenchmarkTrees grows ten trees of 63 leaves on one core.
func BenchmarkTrees(b *testing.B) {
	const rows = 1 << 18
	for name, bytes := range map[string]int64{"memory": 1 << 30, "spilled": 0} {
		b.Run(name, func(b *testing.B) {
			t, m, ln := oneReplica(b, forestJob(b, rows), bytes)
			began := cpuTime(b)
			for b.Loop() {
				for i := range m.training {
					m.training[i].memo = memo{}
				}
				grow(b, t, m, ln)
			}
			b.ReportMetric(float64(b.N)*rows*10/(cpuTime(b)-began).Seconds()/1e6, "Mrows-trees/core-s")
		})
	}
}
