package model

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// softmax is the log loss of several classes: an output for each, the logarithm of
// its probability but for a term that all of a row have in common.
type softmax struct {
	name    string
	classes []string
	// shares are of the training rows, by class, as much as they weigh, and start the
	// probabilities that are best where all rows have the same.
	shares, start []float64
	// of says how the loss differs from the plain one; nil: not at all.
	of *kernel.Classes
	// faint: it differs by what the model smooths by itself, which hardly counts.
	faint bool
}

func newSoftmax(name string, labels Labels, of kernel.Classes, weights pipeline.ClassWeights) (Loss, error) {
	l := &softmax{name: name, classes: labels.Classes}
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
	of.Count = len(l.classes)
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if name != "" && !slices.Contains(l.classes, name) {
			return nil, fmt.Errorf("class_weights names %q, and no training row is of that class", name)
		}
	}
	if len(weights) > 0 {
		for k, name := range l.classes {
			w := 1.0
			if of := weights.Of(name); of == pipeline.AutoFactor {
				w = 1 / (float64(len(l.classes)) * l.shares[k])
			} else if of > 0 {
				w = float64(of)
			}
			of.Weights = append(of.Weights, w)
		}
		l.shares = weighedShares(l.shares, of.Weights)
	}
	if of.Smoothing > 0 || of.Gamma > 0 || of.Weights != nil {
		l.of = &of
	}
	l.faint = of.Gamma == 0 && of.Weights == nil && of.Smoothing <= labels.Smoothing
	l.start = l.best()
	return l, nil
}

// weighedShares returns shares of classes as much as they weigh.
func weighedShares(shares, weights []float64) []float64 {
	out, all := make([]float64, len(shares)), 0.0
	for k, share := range shares {
		out[k] = float64(share * weights[k])
		all += out[k]
	}
	for k := range out {
		out[k] /= all
	}
	return out
}

// best returns the probabilities whose loss is least where all rows have the same ones. Of
// gamma the slope of each class's loss by its own probability is the same there: it and the
// probabilities are found by halving.
func (l *softmax) best() []float64 {
	best := slices.Clone(l.shares)
	if l.of == nil || len(best) < 2 {
		return best
	}
	if even := l.of.Smoothing / float64(l.of.Count); even > 0 {
		for k, p := range best {
			best[k] = float64(p*(1-l.of.Smoothing)) + even
		}
	}
	gamma := l.of.Gamma
	if gamma == 0 {
		return best
	}
	// slope is that of -(1-p)^gamma * log(p), without its sign: it falls with p.
	slope := func(p float64) float64 {
		q := 1 - float64(p)
		least := kernel.Power(q, gamma)
		return least/p - float64(gamma*float64(least/q*kernel.Log(p)))
	}
	at := func(common float64) (sum float64) {
		for k, share := range l.shares {
			low, high := 1e-12, 1-1e-12
			for range 60 {
				if best[k] = (low + high) / 2; float64(share*slope(best[k])) > common {
					low = best[k]
				} else {
					high = best[k]
				}
			}
			sum += best[k]
		}
		return sum
	}
	low, high := 1e-15, 1e15 // what the slopes have in common
	for range 60 {
		if middle := math.Sqrt(low * high); at(middle) > 1 {
			low = middle
		} else {
			high = middle
		}
	}
	return best
}

// Type implements Loss.
func (l *softmax) Type() string { return l.name }

// For implements Loss.
func (*softmax) For() string { return Category }

// Reported implements Loss: no metric weighs, smooths or looks away from rows.
func (l *softmax) Reported(float64) (float64, string) {
	if l.of != nil && !l.faint {
		return 1, ""
	}
	return 1, "log_loss"
}

// Outputs implements Loss.
func (l *softmax) Outputs() int { return len(l.classes) }

// Answer implements Loss.
func (l *softmax) Answer() pipeline.Answer {
	return pipeline.Answer{Type: Category, Classes: l.classes}
}

// Scale implements Loss.
func (*softmax) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss: the logarithms of the best probabilities.
func (l *softmax) Start(float64) []float64 {
	out := make([]float64, len(l.start))
	for k, p := range l.start {
		out[k] = math.Log(p)
	}
	return out
}

// Constant returns the best probabilities where all rows have the same, of the shares of
// the training rows or of given ones.
func (l *softmax) Constant(labels []float64) []float32 {
	best := l.start
	if n := len(l.classes); n > 1 && len(labels) == n {
		given := *l
		if given.shares = labels; l.of != nil && l.of.Weights != nil {
			given.shares = weighedShares(labels, l.of.Weights)
		}
		best = given.best()
	}
	out := make([]float32, len(best))
	for k, p := range best {
		out[k] = float32(p)
	}
	return out
}

// Predict implements Loss.
func (l *softmax) Predict(out []float32) { kernel.Softmax(out, len(l.classes)) }

// Gradient implements Loss.
func (l *softmax) Gradient(out, labels []float32, weight float32) float64 {
	if l.of != nil {
		return l.of.Residual(out, labels, weight)
	}
	return kernel.SoftmaxResidual(out, labels, len(l.classes), weight)
}

// Newton implements NewtonLoss.
func (l *softmax) Newton(out, labels []float32, first, second []int32) float64 {
	if l.of != nil {
		return l.of.Newton(out, labels, newtonUnit(l.of.Weights), first, second)
	}
	return kernel.SoftmaxNewton(out, labels, len(l.classes), first, second)
}

// NewtonBound implements NewtonLoss: of gamma derivatives are at most one and a half times
// those of the log loss.
func (l *softmax) NewtonBound() float64 {
	switch {
	case l.of == nil:
		return 1
	case l.of.Gamma > 0:
		return 1.5 * newtonBound(l.of.Weights...)
	}
	return newtonBound(l.of.Weights...)
}

// FromMeans implements pipeline.OfMeans: logarithms.
func (*softmax) FromMeans(means []float32) {
	for i, p := range means {
		means[i] = float32(kernel.Log(max(float64(p), LeastShare)))
	}
}
