package model

import (
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// The types of label, as output_features spell them: they decide how labels are
// packed and what predictions are measured by.
const (
	// Binary: labels are 0 or 1, a prediction is the probability of 1.
	Binary = "binary"
	// Number: labels and predictions are values.
	Number = "number"
	// Category: labels are the numbers of classes, a prediction the probability of
	// each.
	Category = "category"
	// Count: labels are 0 or more, a prediction is their mean.
	Count = "count"
)

// The types of answer that are not those of the label.
const (
	// Margin: of a binary label, above 0 where it is true.
	Margin = "margin"
	// Quantiles: of a number.
	Quantiles = "quantiles"
)

// Labels is what is known of the training labels when a loss is made for them.
type Labels struct {
	Type string
	// Classes are those of a category, and Counts how many rows have each.
	Classes []string
	Counts  []int64
	// Mean and Deviation are of labels that are numbers, and Constants what the loss
	// made of a sample of them (pipeline.Sampled).
	Mean, Deviation, Most float64
	Constants             []float64
	// Smoothing is the label_smoothing that the model has where the loss says none.
	Smoothing float64
}

// positiveWeight returns the weight of a row that is true.
func positiveWeight(w pipeline.Factor, labels Labels) (float64, error) {
	switch {
	case w == 0:
		return 1, nil
	case w != pipeline.AutoFactor:
		return float64(w), nil
	case !(labels.Mean > 0 && labels.Mean < 1):
		return 0, fmt.Errorf("all training rows have the same label, which positive_class_weight: auto cannot balance")
	}
	return (1 - labels.Mean) / labels.Mean, nil
}

// LossSpec is the options of a loss that depends on the labels: it makes the one that
// is for them. Other options are a Loss themselves.
type LossSpec interface {
	Bind(labels Labels) (Loss, error)
}

// Bind returns a loss that a spec has chosen, made for its labels.
func Bind(loss pipeline.Choice, labels Labels) (pipeline.Choice, error) {
	spec, ok := loss.Options.(LossSpec)
	if !ok {
		return loss, nil
	}
	bound, err := spec.Bind(labels)
	if err != nil {
		return loss, &thalweg.Error{Op: "make loss", Kind: thalweg.Invalid, Subject: loss.Name, Err: err}
	}
	return pipeline.Choice{Name: loss.Name, Options: bound}, nil
}

// noLoss is the error of a loss that is not for labels of a type.
func noLoss(name, label string) error {
	return fmt.Errorf("loss %s is not for a %s label", name, label)
}

// Loss says how far a model's outputs are from the labels, and what the outputs
// mean. It is the options of its entry in the catalog, immutable, and may be used
// concurrently.
type Loss interface {
	// Type is the loss's name in a spec.
	Type() string
	// For is the type of label that it compares with.
	For() string
	// Outputs is how many values it wants for each row, row-major.
	Outputs() int
	// Scale returns the scale in which labels are learned, given the mean and the
	// population's standard deviation of the training labels: the zero Scale
	// where labels are learned as they are.
	Scale(mean, deviation float64) Scale
	// Start returns the outputs whose loss is least if all rows have the same ones,
	// given the mean of the labels as they are learned.
	Start(mean float64) []float64
	// Reported returns the factor that brings a loss to the unit in which it is told,
	// given the deviation of the labels where these are scaled, and the metric that is
	// the same of validation rows, "" where none is.
	Reported(deviation float64) (factor float64, metric string)
	// Answer says what predictions mean.
	Answer() pipeline.Answer
	// Gradient returns the sum of the rows' losses and overwrites out with its
	// gradient by out, each element times weight.
	Gradient(out, labels []float32, weight float32) float64
	// Predict overwrites out with predictions.
	Predict(out []float32)
}

// WeighableLoss is a Loss that takes weights of rows at once, for speed.
type WeighableLoss interface {
	Loss
	// WeightedGradient is what the function of this name does.
	WeightedGradient(out, labels, weights []float32, weight float32) float64
}

// WeightedGradient is the loss's Gradient of rows each of which counts as much as its weight
// says: the loss of a row, and its part of the gradient, times it.
func WeightedGradient(l Loss, out, labels, weights []float32, weight float32) (loss float64) {
	if w, ok := l.(WeighableLoss); ok {
		return w.WeightedGradient(out, labels, weights, weight)
	}
	return gradientByRow(l, out, labels, weights, weight)
}

// gradientByRow is WeightedGradient of any loss.
func gradientByRow(l Loss, out, labels, weights []float32, weight float32) (loss float64) {
	n := l.Outputs()
	for i, w := range weights {
		loss += float64(float64(w) * l.Gradient(out[i*n:(i+1)*n], labels[i:i+1], float32(w*weight)))
	}
	return loss
}

// Scale is how labels are brought to the unit in which they are learned:
// (y-Mean)/Deviation. The zero Scale leaves them as they are.
type Scale struct{ Mean, Deviation float64 }

// Apply returns the labels in the unit in which they are learned: dst, or labels
// itself where they stay as they are.
func (s Scale) Apply(dst, labels []float32) []float32 {
	if s == (Scale{}) {
		return labels
	}
	inverse := 1 / s.Deviation
	dst = dst[:len(labels)]
	for i, y := range labels {
		dst[i] = float32((float64(y) - s.Mean) * inverse)
	}
	return dst
}
