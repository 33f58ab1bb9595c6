package boosting

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// Entry is what specs choose.
func Entry() pipeline.Entry {
	return pipeline.Entry{Name: "boosting", Options: new(Spec)}
}

// Spec grows trees, the one algorithm for a model of them: each by Newton's
// method on what those before it leave (Friedman 2001; Chen and Guestrin 2016).
// Derivatives are added up as integers, so that a tree is the same whatever the
// order, the replicas and the workers.
type Spec struct{}

// Without implements pipeline.Restricted.
func (*Spec) Without() map[string]string {
	without := optim.WithoutSteps("leave it out: trees grow by no steps")
	without["regularization.l1"] = "write l2: it holds the values of leaves back"
	return without
}

// treeBatch is the rows of a batch, so many that its bytes and derivatives stay in
// the second-level cache. It is also the most, as 16 bits hold the number of one, and a
// histogram of HistogramRows its sums; which rows make a batch changes no tree.
const treeBatch = 1 << 14

// treesPerEpoch is how many trees are grown between two evaluations.
const treesPerEpoch = 10

// Resolve implements optim.Resolver.
func (*Spec) Resolve(t pipeline.Trainer, options any, rows int64) pipeline.Trainer {
	if t.Distributed.Replicas == 0 {
		// The histograms of a replica are worth an exchange where they are of many rows.
		t.Distributed.Replicas = pipeline.Count(min(max(rows>>18, 1), 8))
	}
	if t.BatchSize == 0 || t.BatchSize > treeBatch {
		t.BatchSize = treeBatch
	}
	if trees, ok := options.(*model.Trees); ok && t.Epochs == 0 {
		t.Epochs = pipeline.Count((trees.Trees + treesPerEpoch - 1) / treesPerEpoch)
	}
	return t
}
