package model

import (
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Huber is half the squared error of a number up to delta, and grows in proportion to
// the error beyond: rows far off do not have their way. Labels are standardised, so
// that one learning rate fits labels of any unit.
type Huber struct {
	// Delta is the error from which on the loss is straight, in the label's unit.
	// Default: 1.35 standard deviations of the labels.
	Delta float64 `yaml:"delta,omitempty" json:"delta,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// huberDelta is Huber's: his estimate is then as good as 95 % of the mean on normal errors.
const huberDelta = 1.35

// For implements pipeline.Typed.
func (*Huber) For() string { return Number }

// ValidationMetric implements pipeline.Judged.
func (*Huber) ValidationMetric(string, bool) string { return "mae" }

// Constants implements pipeline.Sampled: the value that the loss of a sample is least
// at, found by halving the interval in which its slope changes sign.
func (o *Huber) Constants(sorted []float64) []float64 {
	if len(sorted) == 0 {
		return []float64{0}
	}
	delta := o.Delta
	if delta == 0 {
		mean, squares := 0.0, 0.0
		for _, y := range sorted {
			mean += y / float64(len(sorted))
		}
		for _, y := range sorted {
			squares += float64((y-mean)*(y-mean)) / float64(len(sorted))
		}
		delta = huberDelta * math.Sqrt(squares)
	}
	low, high := sorted[0], sorted[len(sorted)-1]
	for range 60 {
		middle, slope := low+float64((high-low)/2), 0.0
		for _, y := range sorted {
			slope += min(max(middle-y, -delta), delta)
		}
		if slope < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return []float64{low + float64((high-low)/2)}
}

// Bind implements LossSpec.
func (o *Huber) Bind(labels Labels) (Loss, error) {
	l := &huber{standard: standardOf(labels), delta: huberDelta}
	if o.Delta > 0 && labels.Deviation > 0 {
		l.delta = float32(o.Delta / labels.Deviation)
	}
	return l, nil
}

// standard is what losses have in common that learn standardised labels from
// constants of their own.
type standard struct {
	constants []float64 // in the label's unit
	starts    []float64 // as they are learned
}

func standardOf(labels Labels) standard {
	s := standard{constants: labels.Constants}
	scale := new(Squared).Scale(labels.Mean, labels.Deviation)
	for _, c := range labels.Constants {
		s.starts = append(s.starts, (c-scale.Mean)/scale.Deviation)
	}
	return s
}

// For implements Loss.
func (*standard) For() string { return Number }

// Scale implements Loss.
func (*standard) Scale(mean, deviation float64) Scale { return new(Squared).Scale(mean, deviation) }

// Start implements Loss.
func (s *standard) Start(float64) []float64 { return s.starts }

// Constant returns the constants, which are of rows as they are.
func (s *standard) Constant([]float64) []float32 {
	out := make([]float32, len(s.constants))
	for k, c := range s.constants {
		out[k] = float32(c)
	}
	return out
}

// huber is the loss made for its labels.
type huber struct {
	standard
	delta float32 // of labels as they are learned
}

// Outputs implements Loss.
func (*huber) Outputs() int { return 1 }

// Answer implements Loss.
func (*huber) Answer() pipeline.Answer { return pipeline.Answer{Type: Number} }

// Predict implements Loss.
func (*huber) Predict([]float32) {}

// Type implements Loss.
func (*huber) Type() string { return "huber" }

// Reported implements Loss: half the square of errors, in the label's unit.
func (*huber) Reported(deviation float64) (float64, string) { return deviation * deviation, "" }

// Newton implements NewtonLoss: the second derivative of the middle is taken for all.
func (l *huber) Newton(out, labels []float32, first, second []int32) float64 {
	loss := l.Gradient(out, labels, 1)
	kernel.FirstNewton(out, first, second)
	return loss
}

// NewtonBound implements NewtonLoss.
func (l *huber) NewtonBound() float64 { return min(max(1, float64(l.delta)), kernel.NewtonBound) }

// Gradient implements Loss.
func (l *huber) Gradient(out, labels []float32, weight float32) (loss float64) {
	labels = labels[:len(out)]
	for i, z := range out {
		d := z - labels[i]
		slope := min(max(d, -l.delta), l.delta)
		loss += float64(float64(slope) * (float64(d) - float64(float64(slope)/2)))
		out[i] = float32(slope * weight)
	}
	return loss
}
