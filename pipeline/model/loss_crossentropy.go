package model

import (
	_ "embed"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

//go:embed loss_crossentropy.go
var crossEntropySource string

// CrossEntropy is the log loss: of a binary label, whose output is the logit and
// whose prediction is its sigmoid, or of several classes, by softmax.
type CrossEntropy struct {
	// PositiveClassWeight is how much a row that is true weighs beside one that is
	// false; auto: so much that both kinds weigh the same, which is the number of false
	// rows for each true one. Probabilities are then those of rows so weighed, not of the
	// label's rate. Default 1.
	PositiveClassWeight pipeline.Factor `yaml:"positive_class_weight,omitempty" json:"positive_class_weight,omitempty"`
}

// Type implements Loss.
func (*CrossEntropy) Type() string { return "cross_entropy" }

// For implements Loss.
func (*CrossEntropy) For() string { return Binary }

// AlsoFor implements pipeline.TypedMany.
func (*CrossEntropy) AlsoFor() []string { return []string{Category} }

// Bind implements LossSpec.
func (o *CrossEntropy) Bind(labels Labels) (Loss, error) {
	switch {
	case labels.Type == Binary:
		weight, err := positiveWeight(o.PositiveClassWeight, labels)
		if weight == 1 || err != nil {
			return o, err
		}
		return &weighted{CrossEntropy: *o, weight: weight, constant: weight * labels.Mean / (float64(weight*labels.Mean) + 1 - labels.Mean)}, nil
	case labels.Type == Category:
		return newSoftmax(labels)
	}
	return nil, noLoss(o.Type(), labels.Type)
}

// ValidationMetric implements pipeline.Judged: a log loss would blame a model for the
// weights.
func (o *CrossEntropy) ValidationMetric() string {
	if o.PositiveClassWeight != 0 {
		return "roc_auc"
	}
	return ""
}

// Weighs implements pipeline.Weighing.
func (o *CrossEntropy) Weighs() bool { return o.PositiveClassWeight != 0 }

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

// Newton implements NewtonLoss.
func (*CrossEntropy) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.LogisticNewton(out, labels, first, second)
}

// weighted is the log loss of a binary label whose rows that are true weigh more, or
// less.
type weighted struct {
	CrossEntropy
	weight, constant float64
}

// Start implements Loss.
func (l *weighted) Start(mean float64) []float64 {
	return []float64{math.Log(l.weight * mean / (1 - mean))}
}

// Reported implements Loss: no metric weighs.
func (*weighted) Reported(float64) (float64, string) { return 1, "" }

// Constant returns the rate of rows that are true, as they weigh.
func (l *weighted) Constant() []float32 { return []float32{float32(l.constant)} }

// Gradient implements Loss.
func (l *weighted) Gradient(out, labels []float32, weight float32) float64 {
	return kernel.WeightedLogisticResidual(out, out, labels, weight, float32(l.weight))
}

// Newton implements NewtonLoss.
func (l *weighted) Newton(out, labels []float32, first, second []int32) float64 {
	return kernel.WeightedLogisticNewton(out, labels, first, second, float32(l.weight))
}

// leastShare is the least probability that a mean stands for.
const leastShare = 1e-6

// FromMeans implements pipeline.OfMeans: log-odds.
func (*CrossEntropy) FromMeans(means []float32) {
	for i, p := range means {
		q := min(max(float64(p), leastShare), 1-leastShare)
		means[i] = float32(kernel.Log(q / (1 - q)))
	}
}
