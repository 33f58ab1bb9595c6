package model

import (
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Focal is the log loss of a row times (1-p)^gamma, p being the probability that the model
// gives its label: rows that are predicted well count little, and training goes after the others
// (Lin et al. 2017). Probabilities lie nearer to 1/2 than the rates of rows. Trees take the
// second derivative of a log loss that counts as much as the first one says.
type Focal struct {
	// Gamma is how much less rows count that are predicted well; 0 is the log loss.
	Gamma *float64 `yaml:"gamma,omitempty" json:"gamma,omitempty" jsonschema:"minimum=0,maximum=10" default:"2"`
	// Alpha is how much a row of a binary label weighs that is true, and 1 - alpha one that is
	// false. Default: both weigh 1.
	Alpha float64 `yaml:"alpha,omitempty" json:"alpha,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// ClassWeights are how much rows weigh, by class, of an output of several: those that are
	// not named 1, and auto is rows/(classes * rows of the class), scikit-learn's balanced.
	// class_weights: auto is that for each class.
	ClassWeights pipeline.ClassWeights `yaml:"class_weights,omitempty" json:"class_weights,omitempty"`
}

// For implements pipeline.Typed.
func (*Focal) For() string { return Binary }

// AlsoFor implements pipeline.TypedMany.
func (*Focal) AlsoFor() []string { return []string{Category} }

// Check implements pipeline.Checker.
func (o *Focal) Check(at pipeline.Place) { oneOf(at, "alpha", o.Alpha != 0, o.ClassWeights) }

// Weighs implements pipeline.Weighing.
func (o *Focal) Weighs() string {
	switch {
	case o.Alpha != 0:
		return "alpha"
	case len(o.ClassWeights) > 0:
		return "class_weights"
	}
	return ""
}

// ValidationMetric implements pipeline.Judged: a log loss would blame a model for
// probabilities nearer to 1/2.
func (*Focal) ValidationMetric(output string, _ bool) string {
	if output == Category {
		return "f1_macro"
	}
	return "roc_auc"
}

// gamma is the option, or its default.
func (o *Focal) gamma() float64 {
	if o.Gamma == nil {
		return 2
	}
	return *o.Gamma
}

// Bind implements LossSpec.
func (o *Focal) Bind(labels Labels) (Loss, error) {
	switch labels.Type {
	case Binary:
		l := &focal{gamma: o.gamma(), alpha: [2]float64{1, 1}}
		if o.Alpha > 0 {
			l.alpha = [2]float64{1 - o.Alpha, o.Alpha}
		}
		return l, nil
	case Category:
		return newSoftmax("focal", labels, kernel.Classes{Gamma: o.gamma()}, o.ClassWeights)
	}
	return nil, noLoss("focal", labels.Type)
}

// focal is the loss made for a binary label.
type focal struct {
	gamma float64
	alpha [2]float64
}

// Type implements Loss.
func (*focal) Type() string { return "focal" }

// For implements Loss.
func (*focal) For() string { return Binary }

// Outputs implements Loss.
func (*focal) Outputs() int { return 1 }

// Answer implements Loss.
func (*focal) Answer() pipeline.Answer { return pipeline.Answer{Type: Binary} }

// Scale implements Loss.
func (*focal) Scale(_, _ float64) Scale { return Scale{} }

// Reported implements Loss.
func (*focal) Reported(float64) (float64, string) { return 1, "" }

// Start implements Loss: where the slope changes its sign, found by halving.
func (l *focal) Start(mean float64) []float64 {
	low, high := -40.0, 40.0
	for range 60 {
		middle := (low + high) / 2
		out := []float32{float32(middle), float32(middle)}
		l.Gradient(out, []float32{0, 1}, 1)
		if float64(float64(out[0])*(1-mean))+float64(float64(out[1])*mean) < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return []float64{(low + high) / 2}
}

// Constant returns what Start predicts.
func (l *focal) Constant(labels []float64) []float32 {
	return []float32{float32(1 / (1 + math.Exp(-l.Start(labels[0])[0])))}
}

// Predict implements Loss.
func (*focal) Predict(out []float32) { kernel.Sigmoid(out, out) }

// Gradient implements Loss.
func (l *focal) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.FocalLogistic(out, labels, l.gamma, l.alpha, weight)
}

// Newton implements NewtonLoss.
func (l *focal) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.FocalLogisticNewton(out, labels, l.gamma, l.alpha, first, second)
}

// NewtonBound implements NewtonLoss: one and a half times that of the log loss.
func (*focal) NewtonBound() float64 { return 1.5 }
