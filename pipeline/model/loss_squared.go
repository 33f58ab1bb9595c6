package model

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Squared is half the squared error of a number. Labels are standardised, so
// that one learning rate fits labels of any unit.
type Squared struct{}

// Type implements Loss.
func (*Squared) Type() string { return "squared" }

// For implements Loss.
func (*Squared) For() string { return Number }

// Reported implements Loss: the loss is half the square of standardised errors.
func (*Squared) Reported(deviation float64) (float64, string) {
	return 2 * deviation * deviation, "mse"
}

// Outputs implements Loss.
func (*Squared) Outputs() int { return 1 }

// Predict implements Loss.
func (*Squared) Predict([]float32) {}

// Start implements Loss.
func (*Squared) Start(mean float64) []float64 { return []float64{mean} }

// Answer implements Loss.
func (*Squared) Answer() pipeline.Answer { return pipeline.Answer{Type: Number} }

// Scale implements Loss.
func (*Squared) Scale(mean, deviation float64) Scale {
	if !(deviation > 0) {
		deviation = 1 // all labels are equal
	}
	return Scale{Mean: mean, Deviation: deviation}
}

// Gradient implements Loss.
func (*Squared) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.SquaredResidual(out, out, labels, weight)
}

// Newton implements NewtonLoss.
func (*Squared) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.SquaredNewton(out, labels, first, second)
}

// NewtonBound implements NewtonLoss: an error is of any size.
func (*Squared) NewtonBound() float64 { return kernel.NewtonBound }

// FromMeans implements pipeline.OfMeans: the mean itself.
func (*Squared) FromMeans([]float32) {}
