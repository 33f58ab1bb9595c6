package model

import (
	_ "embed"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

//go:embed loss_crossentropy.go
var crossEntropySource string

// CrossEntropy is the log loss: of a binary label, whose output is the logit and
// whose prediction is its sigmoid, or of several classes, by softmax.
type CrossEntropy struct{}

// Type implements Loss.
func (*CrossEntropy) Type() string { return "cross_entropy" }

// For implements Loss.
func (*CrossEntropy) For() string { return Binary }

// AlsoFor implements pipeline.TypedMany.
func (*CrossEntropy) AlsoFor() []string { return []string{Category} }

// Bind implements LossSpec.
func (o *CrossEntropy) Bind(labels Labels) (Loss, error) {
	switch {
	case labels.Type == Binary:
		return o, nil
	case labels.Type == Category:
		return newSoftmax(labels)
	}
	return nil, noLoss(o.Type(), labels.Type)
}

// Outputs implements Loss.
func (*CrossEntropy) Outputs() int { return 1 }

// Answer implements Loss.
func (*CrossEntropy) Answer() pipeline.Answer { return pipeline.Answer{Type: Binary} }

// Scale implements Loss.
func (*CrossEntropy) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss: the log-odds.
func (*CrossEntropy) Start(mean float64) []float64 { return []float64{math.Log(mean / (1 - mean))} }

// Predict implements Loss.
func (*CrossEntropy) Predict(out []float32) { kernel.Sigmoid(out, out) }

// Gradient implements Loss.
func (*CrossEntropy) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.LogisticResidual(out, out, labels, weight)
}

// Newton implements NewtonLoss.
func (*CrossEntropy) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.LogisticNewton(out, labels, first, second)
}
