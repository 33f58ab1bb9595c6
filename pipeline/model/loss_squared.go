package model

import "github.com/thalweg/thalweg/pipeline/kernel"

// squared is half the squared error of a number. Labels are standardised, so
// that one learning rate fits labels of any unit.
type squared struct{}

func (squared) Type() string      { return "squared" }
func (squared) Label() Label      { return Number }
func (squared) Outputs() int      { return 1 }
func (squared) Predict([]float32) {}

func (squared) Scale(mean, deviation float64) Scale {
	if !(deviation > 0) {
		deviation = 1 // all labels are equal
	}
	return Scale{Mean: mean, Deviation: deviation}
}

func (squared) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.SquaredResidual(out, out, labels, weight)
}
