package terminal

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// PrintCurve prints the losses of a run: as a plot, and those of some epochs as
// numbers. All are in -o json.
func PrintCurve(w io.Writer, r *apiv1.Run) {
	if len(r.Curve) == 0 {
		return
	}
	var train, validation []float64
	for _, l := range r.Curve {
		train = append(train, l.Train)
		if l.Validation != nil {
			validation = append(validation, *l.Validation)
		}
	}
	fmt.Fprintln(w)
	for _, line := range []struct {
		name   string
		values []float64
	}{{"train", train}, {"validation", validation}} {
		if len(line.values) > 1 {
			Row(w, "LOSS OF "+strings.ToUpper(line.name), plot(line.values))
		}
	}
	Row(w, "\nEPOCH", "TRAIN LOSS", "VALIDATION LOSS")
	const most = 12
	best := uint32(r.Metrics["train.best_epoch"])
	for i, l := range r.Curve {
		if step := (len(r.Curve) + most - 1) / most; i%step != 0 && i != len(r.Curve)-1 && l.Epoch != best {
			continue
		}
		shown := "-"
		if l.Validation != nil {
			shown = fmt.Sprintf("%.6g", *l.Validation)
		}
		if l.Epoch == best {
			shown += "  best"
		}
		Row(w, l.Epoch, fmt.Sprintf("%.6g", l.Train), shown)
	}
}

// plot draws values from left to right, the least as the lowest bar.
func plot(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	var out strings.Builder
	for _, v := range values {
		at := 0
		if most > least {
			at = int((v - least) / (most - least) * float64(len(bars)-1))
		}
		out.WriteRune(bars[max(0, min(at, len(bars)-1))])
	}
	return fmt.Sprintf("%s  %.4g to %.4g", out.String(), values[0], values[len(values)-1])
}

// PrintWeights prints the strongest weights of a run's model, or of trees the features
// that did the most.
func PrintWeights(w io.Writer, r *apiv1.Run) {
	const most = 20
	if len(r.Importance) > 0 {
		Row(w, "\nFEATURE", "GAIN", "SPLITS")
		for _, f := range r.Importance[:min(most, len(r.Importance))] {
			Row(w, f.Feature, fmt.Sprintf("%.4g", f.Gain), f.Splits)
		}
		fmt.Fprintln(w, "\nThe gain is how much the splits of a feature decreased the sum of the training rows' losses.\n"+
			"-o json has all features.")
		return
	}
	Row(w, "\nFEATURE", "VALUE", "EFFECT")
	for _, weight := range r.Weights[:min(most, len(r.Weights))] {
		Row(w, weight.Feature, cmp.Or(weight.Value, "one deviation"), fmt.Sprintf("%+.4g", weight.Effect))
	}
	if len(r.Weights) == 0 {
		fmt.Fprintln(w, "none: the model has no weight for each feature, or nothing is kept of its run")
		return
	}
	fmt.Fprintln(w, "\nThe effect is on the log-odds of a binary label and on the value of a number: of one standard\n"+
		"deviation of a number, of a category's value beside the mean row, or hashed beside a value that\n"+
		"training never met, and of a term of a text that has no other. -o json has more of them.")
}
