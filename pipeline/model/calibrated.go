package model

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/calibration"
)

// Calibrated returns the model whose predictions are those of a calibration of its outputs;
// nil: of its loss. It has the same parameters, and workspaces of its own.
func (m *Model) Calibrated(c *calibration.Calibration) *Model {
	out := *m
	out.calibration, out.raw = c, false
	return &out
}

// Raw returns the model whose predictions are its outputs as they are: what a calibration is
// fitted to.
func (m *Model) Raw() *Model {
	out := *m
	out.calibration, out.raw = nil, true
	return &out
}

// Calibration is that of the predictions; nil: they are as the loss has them.
func (m *Model) Calibration() *calibration.Calibration { return m.calibration }

// Finish overwrites the model's outputs by predictions.
func (m *Model) Finish(out []float32) {
	switch {
	case m.raw:
	case m.calibration != nil:
		m.calibration.Apply(out, m.Outputs())
	default:
		m.loss.Predict(out)
	}
}

// Constant returns the prediction of a row of which nothing is known, given the mean of the
// training labels, as rows weigh; of several classes their shares do instead.
func (m *Model) Constant(labels ...float64) []float32 {
	loss := m.loss
	switch l := loss.(type) { // what a Loss may have besides, one that holds it has not
	case linked:
		loss = l.Loss
	case asTheyAre:
		loss = l.Loss
	}
	constant := []float32{float32(labels[0])}
	if l, ok := loss.(interface {
		Constant(labels []float64) []float32
	}); ok {
		constant = l.Constant(labels)
	}
	if !m.raw && m.calibration == nil {
		return constant
	}
	l, means := loss.(pipeline.OfMeans)
	switch answer := m.loss.Answer().Type; {
	case answer == Binary:
		new(CrossEntropy).FromMeans(constant)
	case answer == Category:
		new(softmax).FromMeans(constant)
	case means:
		l.FromMeans(constant)
	}
	m.Finish(constant)
	return constant
}
