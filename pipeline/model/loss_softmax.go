package model

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// softmax is the log loss of several classes: an output for each, the logarithm of
// its probability but for a term that all of a row have in common.
type softmax struct {
	classes []string
	shares  []float64 // of the training rows, by class
}

func newSoftmax(labels Labels) (*softmax, error) {
	l := &softmax{classes: labels.Classes}
	var rows int64
	for _, n := range labels.Counts {
		rows += n
	}
	for k, n := range labels.Counts {
		if n < 1 {
			return nil, fmt.Errorf("no training row is of class %q", labels.Classes[k])
		}
		l.shares = append(l.shares, float64(n)/float64(rows))
	}
	if len(l.classes) < 1 || len(l.classes) != len(l.shares) {
		return nil, fmt.Errorf("%d classes with the rows of %d", len(l.classes), len(l.shares))
	}
	return l, nil
}

// Type implements Loss.
func (*softmax) Type() string { return "cross_entropy" }

// For implements Loss.
func (*softmax) For() string { return Category }

// Reported implements Loss.
func (*softmax) Reported(float64) (float64, string) { return 1, "log_loss" }

// Outputs implements Loss.
func (l *softmax) Outputs() int { return len(l.classes) }

// Answer implements Loss.
func (l *softmax) Answer() pipeline.Answer {
	return pipeline.Answer{Type: Category, Classes: l.classes}
}

// Scale implements Loss.
func (*softmax) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss: the logarithms of the classes' shares.
func (l *softmax) Start(float64) []float64 {
	out := make([]float64, len(l.shares))
	for k, p := range l.shares {
		out[k] = math.Log(p)
	}
	return out
}

// Constant returns the classes' shares of the training rows.
func (l *softmax) Constant() []float32 {
	out := make([]float32, len(l.shares))
	for k, p := range l.shares {
		out[k] = float32(p)
	}
	return out
}

// Predict implements Loss.
func (l *softmax) Predict(out []float32) { kernel.Softmax(out, len(l.classes)) }

// Gradient implements Loss.
func (l *softmax) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.SoftmaxResidual(out, labels, len(l.classes), weight)
}

// Newton implements NewtonLoss.
func (l *softmax) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.SoftmaxNewton(out, labels, len(l.classes), first, second)
}

// FromMeans implements pipeline.OfMeans: logarithms.
func (*softmax) FromMeans(means []float32) {
	for i, p := range means {
		means[i] = float32(kernel.Log(max(float64(p), leastShare)))
	}
}
