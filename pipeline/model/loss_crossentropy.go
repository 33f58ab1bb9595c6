package model

import "github.com/thalweg/thalweg/pipeline/kernel"

// crossEntropy is the log loss of a binary label. The output is the logit, the
// prediction its sigmoid.
type crossEntropy struct{}

func (crossEntropy) Type() string             { return "cross_entropy" }
func (crossEntropy) Label() Label             { return Binary }
func (crossEntropy) Outputs() int             { return 1 }
func (crossEntropy) Scale(_, _ float64) Scale { return Scale{} }
func (crossEntropy) Predict(out []float32)    { kernel.Sigmoid(out, out) }
func (crossEntropy) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.LogisticResidual(out, out, labels, weight)
}
