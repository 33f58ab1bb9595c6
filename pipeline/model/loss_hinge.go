package model

import "github.com/thalweg/thalweg/pipeline"

// Hinge is the loss of a support vector machine: of a binary label, what its margin
// lacks to 1. The margin is the output and the prediction, no probability: above 0
// it says true, below false.
type Hinge struct {
	// Squared takes the square of what is lacking, which has a slope everywhere, as
	// scikit-learn's LinearSVC does. Otherwise the loss is rounded over the last tenth
	// before the margin is 1.
	Squared *bool `yaml:"squared,omitempty" json:"squared,omitempty" default:"true"`
	// PositiveClassWeight is how much a row that is true weighs beside one that is
	// false; auto: so much that both kinds weigh the same, which is the number of false
	// rows for each true one. Probabilities are then those of rows so weighed, not of the
	// label's rate. Default 1.
	PositiveClassWeight pipeline.Factor `yaml:"positive_class_weight,omitempty" json:"positive_class_weight,omitempty"`
}

// hingeRounded is the width over which the loss that is not squared is rounded off,
// so that gradients find its minimum.
const hingeRounded = 0.1

// hinge is the loss made for its labels.
type hinge struct {
	squared bool
	weight  float32 // of the rows that are true
}

// Bind implements LossSpec.
func (o *Hinge) Bind(labels Labels) (Loss, error) {
	weight, err := positiveWeight(o.PositiveClassWeight, labels)
	return &hinge{squared: o.Squared == nil || *o.Squared, weight: float32(weight)}, err
}

// For implements pipeline.Typed.
func (*Hinge) For() string { return Binary }

// Answers implements pipeline.Answering.
func (*Hinge) Answers() string { return Margin }

// Weighs implements pipeline.Weighing.
func (o *Hinge) Weighs() string {
	if o.PositiveClassWeight != 0 {
		return "positive_class_weight"
	}
	return ""
}

// Reported implements Loss.
func (*hinge) Reported(float64) (float64, string) { return 1, "" }

// Type implements Loss.
func (*hinge) Type() string { return "hinge" }

// For implements Loss.
func (*hinge) For() string { return Binary }

// Outputs implements Loss.
func (*hinge) Outputs() int { return 1 }

// Answer implements Loss.
func (*hinge) Answer() pipeline.Answer { return pipeline.Answer{Type: Margin} }

// Scale implements Loss.
func (*hinge) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss. The square is least where both slopes are equal, at the
// difference of the shares; without it any row that weighs more has its way.
func (l *hinge) Start(mean float64) []float64 {
	trues := float64(mean * float64(l.weight))
	falses := 1 - mean
	switch {
	case l.squared:
		return []float64{(trues - falses) / (trues + falses)}
	case trues > falses:
		// All rows that are true are right, and the others' slope is 1.
		return []float64{1 - hingeRounded*falses/trues}
	}
	return []float64{hingeRounded*trues/falses - 1}
}

// Constant returns the margin of a row of which nothing is known: none.
func (*hinge) Constant([]float64) []float32 { return []float32{0} }

// Predict implements Loss.
func (*hinge) Predict([]float32) {}

// Gradient implements Loss.
func (l *hinge) Gradient(out, labels []float32, weight float32) (loss float64) {
	labels = labels[:len(out)]
	for i, z := range out {
		sign, w := float32(-1), float32(1)
		if labels[i] != 0 {
			sign, w = 1, l.weight
		}
		lacks := 1 - float32(sign*z)
		var slope float32
		var lost float64
		switch {
		case lacks <= 0:
		case l.squared:
			slope, lost = 2*lacks, float64(lacks)*float64(lacks)
		case lacks < hingeRounded:
			slope, lost = lacks/hingeRounded, float64(lacks)*float64(lacks)/(2*hingeRounded)
		default:
			slope, lost = 1, float64(lacks)-hingeRounded/2
		}
		loss += float64(lost * float64(w))
		out[i] = float32(float32(-sign*slope) * float32(w*weight))
	}
	return loss
}
