package optim

import (
	"math/bits"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/schedule"
)

// Auto leaves the choice of the algorithm to Resolve.
type Auto struct{}

// Resolve returns a trainer with every auto replaced by what suits the model, blocks
// of a shape and so many training rows. The optimizer of a model that one algorithm trains is
// that one already (pipeline.Spec.Optimizer).
func Resolve(t pipeline.Trainer, chosen pipeline.Choice, shape kernel.Shape, rows int64) pipeline.Trainer {
	if r, ok := t.Optimizer.Options.(Resolver); ok {
		t = r.Resolve(t, chosen.Options, rows)
	}
	if _, deep := chosen.Options.(model.Descended); deep {
		t = network(t, rows)
	}
	if t.Distributed.Replicas == 0 {
		// A replica of fewer rows takes less time than an exchange. Eight keep eight
		// workers busy, and averages of eight still learn nearly as fast as one stream.
		t.Distributed.Replicas = between(rows>>15, 1, 8)
	}
	each := max(1, rows/int64(t.Distributed.Replicas))
	if t.BatchSize == 0 {
		// Small enough for many steps on a small table, large enough that the kernels
		// run at the speed of memory.
		t.BatchSize = between(1<<bits.Len64(uint64(each/64)), 16, 1024)
	}
	// Terms of texts do not count: lbfgs finds their optimum in tens of passes, and better.
	many := model.Convex(chosen) && wide(kernel.Shape{Cardinalities: shape.Cardinalities}, int(t.BatchSize))
	if _, ok := t.Optimizer.Options.(*Auto); ok {
		t.Optimizer = pipeline.Choice{Name: "adam", Options: defaultAdam()}
		switch {
		// Adaptive rules make steps as long where a weight has nothing but noise: adam's ROC AUC on
		// flights was 0.52 where sgd's was 0.62.
		case t.Privacy != nil && model.Convex(chosen):
			t.Optimizer = pipeline.Choice{Name: "sgd", Options: &SGD{LearningRate: 4}}
		case t.Privacy != nil:
			t.Optimizer = pipeline.Choice{Name: "sgd", Options: &SGD{LearningRate: 0.5}}
		case model.Convex(chosen) && !many && t.Allows(new(LBFGS)):
			// Of many weights most are met seldom: the optimum takes hundreds of passes, and
			// is seldom as good for rows to come as where a few of SGD end.
			t.Optimizer = pipeline.Choice{Name: "lbfgs", Options: &LBFGS{Memory: defaultMemory, Tolerance: defaultTolerance, WarmEpochs: 2}}
			if t.WarmStart != pipeline.FromNone {
				t.Optimizer.Options.(*LBFGS).WarmEpochs = 0 // they would lead away from where it starts
			}
		}
	}
	if t.Distributed.SyncEvery == 0 {
		// A millisecond of network takes less time than steps of 1,024 rows; an average of
		// many weights less than the steps that touch as many.
		t.Distributed.SyncEvery = 64
		if many {
			t.Distributed.SyncEvery = between(wideness*weightsOf(shape)/(int64(t.BatchSize)*touchedOf(shape)), 64, 1<<16)
		}
	}
	if t.Epochs == 0 {
		if _, ok := t.Optimizer.Options.(*LBFGS); ok {
			t.Epochs = 1000 // it ends when it has converged
		} else {
			// Some 4,000 steps; early stopping ends the training of large tables.
			t.Epochs = between(4000*int64(t.BatchSize)/each, 20, 200)
		}
	}
	return t
}

// network replaces the autos whose values are others for a network.
func network(t pipeline.Trainer, rows int64) pipeline.Trainer {
	if t.Distributed.Replicas == 0 {
		t.Distributed.Replicas = between(rows>>17, 1, 8)
	}
	each := max(1, rows/int64(t.Distributed.Replicas))
	if t.BatchSize == 0 {
		t.BatchSize = between(1<<bits.Len64(uint64(each/64)), 16, 256)
	}
	if _, ok := t.Optimizer.Options.(*Auto); ok && t.Privacy == nil {
		adam := adamOfNetworks
		adam.Betas = slices.Clone(adam.Betas)
		if _, ok := t.LearningRateScheduler.Options.(*schedule.Cosine); ok {
			adam.LearningRate = annealedRate(t.BatchSize)
		}
		t.Optimizer = pipeline.Choice{Name: "adam", Options: &adam}
	}
	if t.Epochs == 0 {
		t.Epochs = between(20_000*int64(t.BatchSize)/each, 10, 200)
	}
	return t
}

// annealedRate is the rate that a cosine begins with. Its mean is half of that, and gradients of more
// rows have less noise. With 0.001 the default network's test ROC AUC on three million flights,
// whose batches have 256 rows, was 0.692, with 0.002 0.706 and with 0.003 0.712, and a constant 0.001
// 0.705. Of batches of 32 and 64, nine tables of some thousand rows lost 2 % less with 0.002. Of
// batches of 16, on tables of some hundred rows, more than 0.001 helps some and harms as many.
func annealedRate(batch pipeline.Count) float64 {
	switch {
	case batch >= 256:
		return 0.003
	case batch >= 32:
		return 0.002
	}
	return 0.001
}

// adamOfNetworks is adam with the constants of the paper, its rate included.
var adamOfNetworks = Adam{LearningRate: 0.001, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}

func between(n, low, high int64) pipeline.Count { return pipeline.Count(min(max(n, low), high)) }
