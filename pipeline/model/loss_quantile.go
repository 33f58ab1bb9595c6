package model

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Quantile is the pinball loss of a number: each output is the value that the label is
// below with the probability of its level. Labels are standardised, so that one
// learning rate fits labels of any unit.
type Quantile struct {
	// Levels are the probabilities, ascending; 0.5 is the median. The prediction is the
	// quantile whose level is nearest to 0.5.
	Levels []float64 `yaml:"levels,omitempty" json:"levels,omitempty" jsonschema:"minItems=1,maxItems=99"`
}

// quantileRounded is the error within which the loss, in standard deviations of the
// label, is rounded off, so that gradients find its minimum.
const quantileRounded = 0.02

// Defaults implements pipeline.Defaulter: the median.
func (o *Quantile) Defaults(at pipeline.Place) {
	if o.Levels == nil && at.Omits("levels") {
		o.Levels = []float64{0.5}
	}
}

// Check implements pipeline.Checker.
func (o *Quantile) Check(at pipeline.Place) {
	for i, level := range o.Levels {
		switch {
		case !(level > 0 && level < 1):
			at.Problem("levels", "write shares such as 0.9", "%v is not a level between 0 and 1", level)
		case i > 0 && level <= o.Levels[i-1]:
			at.Problem("levels", "write each level once, the smallest first", "%v does not come after %v", level, o.Levels[i-1])
		}
	}
}

// QuantileLevels returns the levels.
func (o *Quantile) QuantileLevels() []float64 { return o.Levels }

// For implements pipeline.Typed.
func (*Quantile) For() string { return Number }

// Answers implements pipeline.Answering.
func (*Quantile) Answers() string { return Quantiles }

// Constants implements pipeline.Sampled: the quantiles of a sample.
func (o *Quantile) Constants(sorted []float64) []float64 {
	out := make([]float64, len(o.Levels))
	for k, level := range o.Levels {
		if len(sorted) > 0 {
			out[k] = sorted[min(int(level*float64(len(sorted))), len(sorted)-1)]
		}
	}
	return out
}

// Bind implements LossSpec.
func (o *Quantile) Bind(labels Labels) (Loss, error) {
	return &quantile{standard: standardOf(labels), levels: o.Levels}, nil
}

// quantile is the loss made for its labels.
type quantile struct {
	standard
	levels []float64
}

// Type implements Loss.
func (*quantile) Type() string { return "quantile" }

// Outputs implements Loss.
func (l *quantile) Outputs() int { return len(l.levels) }

// Answer implements Loss.
func (l *quantile) Answer() pipeline.Answer {
	return pipeline.Answer{Type: Quantiles, Levels: l.levels}
}

// Reported implements Loss.
func (l *quantile) Reported(deviation float64) (float64, string) {
	return deviation / float64(len(l.levels)), "pinball"
}

// Predict implements Loss: quantiles that cross are put in order, which makes none of
// them worse (Chernozhukov, Fernández-Val and Galichon 2010).
func (l *quantile) Predict(out []float32) {
	for n := len(l.levels); len(out) >= n; out = out[n:] {
		slices.Sort(out[:n])
	}
}

// Gradient implements Loss. Within the rounding the loss is the parabola that has the
// slopes of both sides at its ends.
func (l *quantile) Gradient(out, labels []float32, weight float32) (loss float64) {
	for _, y := range labels {
		row := out[:len(l.levels)]
		for k, level := range l.levels {
			d := float64(row[k]) - float64(y)
			above, below := 1-level, -level // slopes beyond either end
			slope := above
			switch {
			case d <= -quantileRounded:
				slope = below
				loss += float64(below*d) + quantileRounded/4
			case d >= quantileRounded:
				loss += float64(above*d) + quantileRounded/4
			default:
				at := (d + quantileRounded) / (2 * quantileRounded) // from 0 to 1
				slope = below + at
				// The loss at the lower end, and the area under the slopes from there.
				loss += float64(level*quantileRounded) + quantileRounded/4 + float64((float64(below*at)+float64(float64(at*at)/2))*2*quantileRounded)
			}
			row[k] = float32(float32(slope) * weight)
		}
		out = out[len(l.levels):]
	}
	return loss
}

// Level implements RenewedLoss.
func (l *quantile) Level(output int) float64 { return l.levels[output] }

// NewtonBound implements NewtonLoss.
func (*quantile) NewtonBound() float64 { return 1 }

// Newton implements NewtonLoss: the slopes of the loss without rounding, and 1 for what
// has no second derivative.
func (l *quantile) Newton(out, labels []float32, first, second []int32) (loss float64) {
	for i, y := range labels {
		for k, level := range l.levels {
			d := float64(out[i*len(l.levels)+k]) - float64(y)
			slope := -level
			if d >= 0 {
				slope = 1 - level
			}
			loss += float64(slope * d)
			at := k*len(labels) + i
			kernel.FirstNewton([]float32{float32(slope)}, first[at:at+1], second[at:at+1])
		}
	}
	return loss
}
