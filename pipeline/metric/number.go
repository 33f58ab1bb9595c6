package metric

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// numberSums accumulates predicted against true values.
type numberSums struct {
	numberTotals
	known
	// loss is what else is summed up of a row's predictions, if anything; width is how
	// many there are, 0: one; the value is that at middle.
	loss          func(predictions []float32, label float64) float64
	width, middle int
}

// deviance is the Poisson deviance of a label from the mean that is predicted.
func deviance(predictions []float32, label float64) float64 {
	return 2 * kernel.HalfDeviance(label, max(float64(predictions[0]), math.SmallestNonzeroFloat32))
}

// pinball returns the mean pinball loss of quantiles of the given levels.
func pinball(levels []float64) func([]float32, float64) float64 {
	return func(predictions []float32, label float64) (sum float64) {
		for k, level := range levels {
			d := label - float64(predictions[k])
			sum += max(float64(level*d), float64((level-1)*d))
		}
		return sum / float64(len(levels))
	}
}

type numberTotals struct {
	Count    int64   `json:"rows"`
	Squared  float64 `json:"squared"`
	Absolute float64 `json:"absolute"`
	Labels   Moments `json:"labels"`
	// Loss is the sum of what the type of answer has besides.
	Loss float64 `json:"loss,omitempty"`
	coverage
}

func (a *numberSums) Observe(predictions, labels []float32) {
	width := max(1, a.width)
	if len(predictions) != len(labels)*width {
		panic("metric: not one label per prediction")
	}
	for i, y := range labels {
		row := predictions[i*width : (i+1)*width]
		if a.loss != nil {
			a.Loss += a.loss(row, float64(y))
		}
		d := float64(row[a.middle]) - float64(y)
		a.Squared += float64(d * d)
		a.Absolute += math.Abs(d)
		a.Labels.Add(float64(y))
	}
	a.Count += int64(len(labels))
	a.observe(predictions, labels, width)
}

func (a *numberSums) Merge(other Accumulator) error {
	b, ok := other.(*numberSums)
	if !ok || a.width != b.width || (a.loss == nil) != (b.loss == nil) {
		return mergeError(a, other)
	}
	a.Loss += b.Loss
	a.Count += b.Count
	a.Squared += b.Squared
	a.Absolute += b.Absolute
	a.Labels.Merge(b.Labels)
	a.merge(&b.coverage)
	return nil
}

func (a *numberSums) meanLoss() (float64, bool) { return a.Loss / float64(a.Count), true }
func (a *numberSums) mae() (float64, bool)      { return a.Absolute / float64(a.Count), true }
func (a *numberSums) mse() (float64, bool)      { return a.Squared / float64(a.Count), true }
func (a *numberSums) rmse() (float64, bool)     { return math.Sqrt(a.Squared / float64(a.Count)), true }
func (a *numberSums) r2() (float64, bool) {
	return 1 - a.Squared/a.Labels.Squares, a.Labels.Squares > 0
}

func (a *numberSums) Rows() int64 { return a.Count }

func (a *numberSums) Values() map[string]float64 { return a.known.values(a) }

func (a *numberSums) MarshalJSON() ([]byte, error) { return json.Marshal(a.numberTotals) }

func (a *numberSums) UnmarshalJSON(data []byte) error {
	var in numberTotals
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Count < 0 || in.Labels.Count != in.Count || !(in.Squared >= 0) || !(in.Absolute >= 0) || !(in.Loss >= 0) || !(in.Labels.Squares >= 0) {
		return fmt.Errorf("the sums contradict each other: %d rows, %d labels, squares %v, absolutes %v", in.Count, in.Labels.Count, in.Squared, in.Absolute)
	}
	if flaw := in.flaw(in.Count); flaw != "" {
		return fmt.Errorf("the sums contradict each other: %s", flaw)
	}
	in.by = a.by
	a.numberTotals = in
	return nil
}
