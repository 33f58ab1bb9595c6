package train_test

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

// pairs is rows of users and goods, whose labels follow from what both say alone and, mostly,
// from the product of a few factors of each.
type pairs struct{ rows, users, goods int }

// factorsOf are those of one of them, and what it says alone.
func factorsOf(kind, id uint64) (factors [3]float64, alone float64) {
	random := rand.New(rand.NewPCG(kind, id))
	for i := range factors {
		factors[i] = random.NormFloat64()
	}
	return factors, random.NormFloat64() / 2
}

// chance returns the probability of a label.
func (p pairs) chance(user, good uint32) float64 {
	a, z := factorsOf(1, uint64(user))
	b, alone := factorsOf(2, uint64(good))
	z += alone
	for i := range a {
		z += a[i] * b[i]
	}
	return 1 / (1 + math.Exp(-z))
}

func (p pairs) Read(context.Context, int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		random := rand.New(rand.NewPCG(3, 3))
		b := &kernel.Block{Rows: p.rows, Categories: make([][]uint32, 2), Labels: make([]float32, p.rows)}
		batch := &train.Batch{Block: b, Split: make([]uint8, p.rows), Row: make([]int64, p.rows)}
		for i := range p.rows {
			user, good := random.Uint32N(uint32(p.users)), random.Uint32N(uint32(p.goods))
			b.Categories[0], b.Categories[1] = append(b.Categories[0], user), append(b.Categories[1], good)
			if random.Float64() < p.chance(user, good) {
				b.Labels[i] = 1
			}
			if batch.Row[i] = int64(i); i%4 == 0 {
				batch.Split[i] = train.Validation
			}
		}
		yield(batch, nil)
	}
}

// leastLoss is the log loss of validation rows by the probabilities that made their labels.
func (p pairs) leastLoss(t *testing.T) (loss float64) {
	n := 0.0
	for batch := range p.Read(t.Context(), 0) {
		for i, split := range batch.Split {
			if split != train.Validation {
				continue
			}
			q := p.chance(batch.Block.Categories[0][i], batch.Block.Categories[1][i])
			if batch.Block.Labels[i] == 0 {
				q = 1 - q
			}
			loss -= math.Log(q)
			n++
		}
	}
	return loss / n
}

func TestFactorizationMachinesLearnInteractions(t *testing.T) {
	rows := pairs{40_000, 25, 25}
	shape := kernel.Shape{Cardinalities: []int{rows.users, rows.goods}, CategoryNames: []string{"user", "good"}}
	loss := func(name string, options model.Spec) float64 {
		job := newJob(t, dataset{shards: 1, rows: 1, label: "binary"}, 1)
		job.Rows, job.Shards = rows, 1
		choice := pipeline.Choice{Name: name, Options: options}
		job.Trainer.Optimizer, job.Trainer.BatchSize, job.Trainer.Epochs, job.Trainer.Distributed.SyncEvery = pipeline.Choice{Name: "auto", Options: new(optim.Auto)}, 0, 0, 0
		job.Trainer.Regularization.L2 = 1
		job.Trainer = optim.Resolve(job.Trainer, choice, shape, int64(rows.rows))
		var err error
		if job.Model, err = options.New(new(model.CrossEntropy), shape); err != nil {
			t.Fatal(err)
		}
		c := newCluster(t, 1, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d epochs, best %d", name, result.Epochs, result.BestEpoch)
		return result.Metrics["log_loss"]
	}
	least := rows.leastLoss(t)
	got, without := loss("fm", &model.FM{Factors: 4}), loss("linear", new(model.Linear))
	t.Logf("log loss %.4f, %.4f without factors, the generator's own %.4f", got, without, least)
	if got > 1.02*least {
		t.Errorf("the log loss is %v, the generator's own %v", got, least)
	}
	if without < 1.2*least {
		t.Errorf("the log loss without factors is %v, the generator's own %v: the rows show nothing", without, least)
	}
}
