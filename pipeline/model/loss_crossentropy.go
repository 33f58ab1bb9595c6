package model

import (
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// CrossEntropy is the log loss: of a binary label, whose output is the logit and
// whose prediction is its sigmoid, or of several classes, by softmax.
type CrossEntropy struct {
	// PositiveClassWeight is how much a row that is true weighs beside one that is
	// false; auto: so much that both kinds weigh the same, which is the number of false
	// rows for each true one. Probabilities are then those of rows so weighed, not of the
	// label's rate. Default 1.
	PositiveClassWeight pipeline.Factor `yaml:"positive_class_weight,omitempty" json:"positive_class_weight,omitempty"`
	// ClassWeights are how much rows weigh, by class, of an output of several: those that are
	// not named 1, and auto is rows/(classes * rows of the class), scikit-learn's balanced.
	// class_weights: auto is that for each class. Probabilities are then those of rows so
	// weighed.
	ClassWeights pipeline.ClassWeights `yaml:"class_weights,omitempty" json:"class_weights,omitempty"`
	// LabelSmoothing is the share of each label that goes to all classes alike, those of a
	// binary label being two: a label that is true is learned as 1 - label_smoothing/2. It
	// keeps a model from being too sure of itself. Default 0; of an mlp 5 divided by the
	// training rows, at most 0.01.
	LabelSmoothing *float64 `yaml:"label_smoothing,omitempty" json:"label_smoothing,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1"`
}

// Type implements Loss.
func (*CrossEntropy) Type() string { return "cross_entropy" }

// For implements Loss.
func (*CrossEntropy) For() string { return Binary }

// AlsoFor implements pipeline.TypedMany.
func (*CrossEntropy) AlsoFor() []string { return []string{Category} }

// Bind implements LossSpec.
func (o *CrossEntropy) Bind(labels Labels) (Loss, error) {
	smoothing := labels.Smoothing
	if o.LabelSmoothing != nil {
		smoothing = *o.LabelSmoothing
	}
	switch {
	case labels.Type == Binary:
		weight, err := positiveWeight(o.PositiveClassWeight, labels)
		if err == nil && smoothing > 0 {
			return &smoothed{CrossEntropy: *o, smoothing: smoothing, weight: [2]float64{1, weight}}, nil
		}
		if weight == 1 || err != nil {
			return o, err
		}
		return &weighted{CrossEntropy: *o, weight: weight}, nil
	case labels.Type == Category:
		return newSoftmax(o.Type(), labels, kernel.Classes{Smoothing: smoothing}, o.ClassWeights)
	}
	return nil, noLoss(o.Type(), labels.Type)
}

// ValidationMetric implements pipeline.Judged: a log loss of rows as they are would blame a
// model for weights, and for the rates of balanced rows.
func (o *CrossEntropy) ValidationMetric(output string, balanced bool) string {
	switch {
	case o.PositiveClassWeight != 0, balanced && output == Binary:
		return "roc_auc"
	case (len(o.ClassWeights) > 0 || balanced) && output == Category:
		return "f1_macro"
	}
	return ""
}

// Check implements pipeline.Checker.
func (o *CrossEntropy) Check(at pipeline.Place) {
	oneOf(at, "positive_class_weight", o.PositiveClassWeight != 0, o.ClassWeights)
}

// oneOf notes weights of classes beside that of the positive one, of which a type of output has one.
func oneOf(at pipeline.Place, field string, set bool, classes pipeline.ClassWeights) {
	if set && len(classes) > 0 {
		at.Problem("class_weights", "leave one of the two out: "+field+" is of a binary output, class_weights of a category", "class_weights beside %s", field)
	}
}

// Weighs implements pipeline.Weighing.
func (o *CrossEntropy) Weighs() string {
	switch {
	case o.PositiveClassWeight != 0:
		return "positive_class_weight"
	case len(o.ClassWeights) > 0:
		return "class_weights"
	case o.LabelSmoothing != nil && *o.LabelSmoothing > 0:
		return "label_smoothing"
	}
	return ""
}

// Reported implements Loss.
func (*CrossEntropy) Reported(float64) (float64, string) { return 1, "log_loss" }

// Outputs implements Loss.
func (*CrossEntropy) Outputs() int { return 1 }

// Answer implements Loss.
func (*CrossEntropy) Answer() pipeline.Answer { return pipeline.Answer{Type: Binary} }

// Scale implements Loss.
func (*CrossEntropy) Scale(_, _ float64) Scale { return Scale{} }

// Start implements Loss: the log-odds.
func (*CrossEntropy) Start(mean float64) []float64 { return []float64{math.Log(mean / (1 - mean))} }

// Predict implements Loss.
func (*CrossEntropy) Predict(out []float32) { kernel.Sigmoid(out, out) }

// Gradient implements Loss.
func (*CrossEntropy) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.LogisticResidual(out, out, labels, weight)
}

// WeightedGradient implements WeighableLoss.
func (*CrossEntropy) WeightedGradient(out, labels, weights []float32, weight float32) float64 {
	return kernel.LogisticResiduals(out, out, labels, weights, weight)
}

// Newton implements NewtonLoss.
func (*CrossEntropy) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.LogisticNewton(out, labels, first, second)
}

// NewtonBound implements NewtonLoss.
func (*CrossEntropy) NewtonBound() float64 { return 1 }

// weighted is the log loss of a binary label whose rows that are true weigh more, or
// less.
type weighted struct {
	CrossEntropy
	weight float64
}

// Start implements Loss.
func (l *weighted) Start(mean float64) []float64 {
	return []float64{math.Log(l.weight * mean / (1 - mean))}
}

// Reported implements Loss: no metric weighs.
func (*weighted) Reported(float64) (float64, string) { return 1, "" }

// Constant returns the rate of rows that are true, as they weigh.
func (l *weighted) Constant(labels []float64) []float32 {
	trues := float64(l.weight * labels[0])
	return []float32{float32(trues / (trues + 1 - labels[0]))}
}

// Gradient implements Loss.
func (l *weighted) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.WeightedLogisticResidual(out, out, labels, weight, float32(l.weight))
}

// WeightedGradient implements WeighableLoss.
func (l *weighted) WeightedGradient(out, labels, weights []float32, weight float32) float64 {
	return gradientByRow(l, out, labels, weights, weight)
}

// Newton implements NewtonLoss.
func (l *weighted) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.WeightedLogisticNewton(out, labels, first, second, float32(l.weight))
}

// NewtonBound implements NewtonLoss.
func (l *weighted) NewtonBound() float64 { return newtonBound(l.weight) }

// LeastShare is the least probability that a mean stands for.
const LeastShare = 1e-6

// FromMeans implements pipeline.OfMeans: log-odds.
func (*CrossEntropy) FromMeans(means []float32) {
	for i, p := range means {
		q := min(max(float64(p), LeastShare), 1-LeastShare)
		means[i] = float32(kernel.Log(q / (1 - q)))
	}
}

// smoothed is the log loss of a binary label that is moved towards 1/2.
type smoothed struct {
	CrossEntropy
	smoothing float64
	weight    [2]float64 // of rows that are false, and true
}

// at returns the probability that is best where all rows have the same.
func (l *smoothed) at(mean float64) float64 {
	trues := float64(l.weight[1] * mean)
	share := trues / (trues + 1 - mean)
	return float64(share*(1-l.smoothing)) + float64(l.smoothing/2)
}

// Start implements Loss.
func (l *smoothed) Start(mean float64) []float64 {
	p := l.at(mean)
	return []float64{math.Log(p / (1 - p))}
}

// Reported implements Loss: no metric smooths, but what a model smooths by itself hardly counts.
func (l *smoothed) Reported(float64) (float64, string) {
	if l.LabelSmoothing != nil || l.weight != [2]float64{1, 1} {
		return 1, ""
	}
	return 1, "log_loss"
}

// Constant returns what Start predicts.
func (l *smoothed) Constant(labels []float64) []float32 { return []float32{float32(l.at(labels[0]))} }

// Gradient implements Loss.
func (l *smoothed) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.SmoothedLogistic(out, labels, l.smoothing, l.weight, weight)
}

// WeightedGradient implements WeighableLoss.
func (l *smoothed) WeightedGradient(out, labels, weights []float32, weight float32) float64 {
	return gradientByRow(l, out, labels, weights, weight)
}

// Newton implements NewtonLoss.
func (l *smoothed) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.SmoothedLogisticNewton(out, labels, l.smoothing, l.weight, newtonUnit(l.weight[:]), first, second)
}

// NewtonBound implements NewtonLoss.
func (l *smoothed) NewtonBound() float64 { return newtonBound(l.weight[:]...) }

// newtonUnit is what derivatives are multiplied by so that the largest weight is within that.
func newtonUnit(weights []float64) float64 {
	unit := 1.0
	for _, w := range weights {
		unit = min(unit, kernel.MaxNewtonWeight/w)
	}
	return unit
}

// newtonBound is the most that derivatives of a log loss with such weights come to.
func newtonBound(weights ...float64) float64 {
	most := 1.0
	for _, w := range weights {
		most = max(most, w)
	}
	return min(most, kernel.MaxNewtonWeight)
}
