// Package metric holds mergeable evaluation sums. An Accumulator sees
// predictions and labels in row order, is written as JSON as one part's partial
// result, and merged in the order of the parts: the values then have the same
// bits whoever computed which part, and however its rows were cut into batches.
package metric

import (
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Accumulator sums up how predictions compare with labels. It is not safe for
// concurrent use.
type Accumulator interface {
	// Observe adds rows: predictions[i] belongs to labels[i], or so many as the answer
	// has for each. Both are finite; the slices are not kept.
	Observe(predictions, labels []float32)
	// Merge adds the rows that another accumulator of the same kind saw after
	// this one's. It fails with Invalid for one of another kind.
	Merge(other Accumulator) error
	// Rows returns how many rows were observed.
	Rows() int64
	// Values returns the metrics by name. One that is undefined for the rows seen
	// (no rows, or one class only) is left out.
	Values() map[string]float64
	json.Marshaler
	json.Unmarshaler
}

// The names of metrics, as Values and validation_metric spell them.
const (
	Rows     = "rows"      // count of rows
	LogLoss  = "log_loss"  // binary, category: mean of -log of the label's probability
	ROCAUC   = "roc_auc"   // binary: area under the ROC curve
	Accuracy = "accuracy"  // binary: share of rows on the right side of the threshold; category: whose likeliest class is right
	BaseRate = "base_rate" // binary: share of rows labelled 1
	// binary: average precision, the area under the steps of the curve of precision
	// over recall
	PRAUC = "pr_auc"
	// binary: mean squared difference of probability and label; category: the sum of
	// those of all classes, and so up to 2
	Brier = "brier"
	F1    = "f1" // binary: harmonic mean of precision and recall
	// category: mean of the classes' F1, of those that rows have or are taken for
	F1Macro = "f1_macro"
	// category: F1 of all classes' counts together, which is the accuracy
	F1Micro   = "f1_micro"
	Precision = "precision" // binary: of the rows from the threshold on, the share labelled 1
	Recall    = "recall"    // binary: of the rows labelled 1, the share from the threshold on
	// binary: mean difference of probability and share of 1 over bins of equal width, by
	// their rows; category: of the likeliest class's probability and the accuracy
	CalibrationError = "calibration_error"
	MSE              = "mse"  // number: mean squared error
	RMSE             = "rmse" // number: square root of mse
	MAE              = "mae"  // number: mean absolute error
	R2               = "r2"   // number: 1 - mse / variance of the labels

	HingeLoss       = "hinge_loss"       // margin: mean of what margins lack to 1
	PoissonDeviance = "poisson_deviance" // count: mean Poisson deviance
	Pinball         = "pinball"          // quantiles: mean pinball loss, over the levels too
)

// New returns an empty accumulator for a model's answers, whose Values are the
// metrics of a catalog.
func New(catalog []pipeline.Entry, answer pipeline.Answer) (Accumulator, error) {
	a, err := newSums(catalog, answer)
	if c, ok := a.(covered); ok && answer.Conformal != nil {
		c.covering().by = answer.Conformal
	}
	return a, err
}

func newSums(catalog []pipeline.Entry, answer pipeline.Answer) (Accumulator, error) {
	of := known{catalog, answer.Type}
	switch answer.Type {
	case "binary":
		return &binarySums{binaryCounts: binaryCounts{Threshold: answer.Threshold}, known: of}, nil
	case "margin":
		return &marginSums{binarySums: binarySums{known: of}}, nil
	case "number":
		return &numberSums{known: of}, nil
	case "count":
		return &numberSums{known: of, loss: deviance}, nil
	case "quantiles":
		return &numberSums{known: of, loss: pinball(answer.Levels), width: len(answer.Levels), middle: answer.Middle()}, nil
	case "category":
		return &classSums{classes: len(answer.Classes), known: of}, nil
	}
	return nil, &thalweg.Error{Op: "build metrics", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("answers of type %q", answer.Type),
		Hint: "binary, margin, category, number, count and quantiles are supported"}
}
