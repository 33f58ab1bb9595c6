package optim

import "github.com/thalweg/thalweg/pipeline"

// LBFGS minimises the loss over all training rows until it converges: the
// quasi-Newton method with limited memory (Nocedal and Wright 2006, algorithm 7.5),
// on gradients that the replicas sum up. An epoch is one evaluation. It is for
// losses that are convex in the parameters, those of linear models.
//
// With l1 it is OWL-QN (Andrew and Gao 2007, "Scalable Training of L1-Regularized
// Log-Linear Models"): a step stays in the orthant where the signs of the weights are
// those of where it starts, or of where the loss falls, and weights that would leave
// it are zero.
//
// It may start from what a few epochs of SGD with averaging found, as in Agarwal
// et al. 2014, "A Reliable Effective Terascale Linear Learning System".
type LBFGS struct {
	// Memory is how many of the last steps the curvature is estimated from.
	Memory int `yaml:"memory,omitempty" json:"memory,omitempty" jsonschema:"minimum=1,maximum=100"`
	// Tolerance is the largest element of the gradient of the mean loss at which it
	// has converged.
	Tolerance float64 `yaml:"tolerance,omitempty" json:"tolerance,omitempty" jsonschema:"exclusiveMinimum=0"`
	// WarmEpochs is how many epochs of adam with averaging come before.
	WarmEpochs int `yaml:"warm_epochs" json:"warm_epochs,omitempty" jsonschema:"minimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (o *LBFGS) Defaults(at pipeline.Place) {
	pipeline.Default(at, "memory", &o.Memory, defaultMemory)
	pipeline.Default(at, "tolerance", &o.Tolerance, defaultTolerance)
}

// The memory is what most implementations have, more is seldom faster; the
// tolerance is scikit-learn's.
const (
	defaultMemory    = 10
	defaultTolerance = 1e-4
)
