package model

import (
	"cmp"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Poisson is half the Poisson deviance of a count. The output is the logarithm of
// the mean, the prediction the mean.
type Poisson struct {
	unit    float64 // of derivatives, 0: 1
	largest float64 // label, in that unit
}

// Type implements Loss.
func (*Poisson) Type() string { return "poisson" }

// For implements Loss.
func (*Poisson) For() string { return Count }

// Bind implements LossSpec.
func (*Poisson) Bind(labels Labels) (Loss, error) {
	most := max(labels.Most, 1)
	return &Poisson{unit: min(1, maxPoisson/most), largest: min(maxPoisson, most)}, nil
}

// maxPoisson is what the largest label is brought to in derivatives for trees, which
// have a bound.
const maxPoisson = 32

// Reported implements Loss: the loss is half the deviance.
func (*Poisson) Reported(float64) (float64, string) { return 2, "poisson_deviance" }

// Newton implements NewtonLoss.
func (o *Poisson) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.PoissonNewton(out, labels, first, second, cmp.Or(o.unit, 1))
}

// NewtonBound implements NewtonLoss: the second derivative is twice the mean, and the mean
// of few rows may be twice the largest label for a while.
func (o *Poisson) NewtonBound() float64 { return 4 * cmp.Or(o.largest, maxPoisson) }

// Outputs implements Loss.
func (*Poisson) Outputs() int { return 1 }

// Answer implements Loss.
func (*Poisson) Answer() pipeline.Answer { return pipeline.Answer{Type: Count} }

// Scale implements Loss: a count stays one.
func (*Poisson) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss: the logarithm of the mean.
func (*Poisson) Start(mean float64) []float64 { return []float64{math.Log(mean)} }

// Predict implements Loss.
func (*Poisson) Predict(out []float32) { kernel.Exp(out, out) }

// Gradient implements Loss.
func (*Poisson) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.PoissonResidual(out, out, labels, weight)
}
