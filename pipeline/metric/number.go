package metric

import (
	"encoding/json"
	"fmt"
	"math"
)

// numberSums accumulates predicted against true values.
type numberSums struct {
	numberTotals
	measures map[string]*Measure
}

type numberTotals struct {
	Count    int64   `json:"rows"`
	Squared  float64 `json:"squared"`
	Absolute float64 `json:"absolute"`
	Labels   Moments `json:"labels"`
}

func (a *numberSums) Observe(predictions, labels []float32) {
	if len(predictions) != len(labels) {
		panic("metric: not one label per prediction")
	}
	for i, y := range labels {
		d := float64(predictions[i]) - float64(y)
		a.Squared += float64(d * d)
		a.Absolute += math.Abs(d)
		a.Labels.Add(float64(y))
	}
	a.Count += int64(len(labels))
}

func (a *numberSums) Merge(other Accumulator) error {
	b, ok := other.(*numberSums)
	if !ok {
		return mergeError(a, other)
	}
	a.Count += b.Count
	a.Squared += b.Squared
	a.Absolute += b.Absolute
	a.Labels.Merge(b.Labels)
	return nil
}

func (a *numberSums) Rows() int64 { return a.Count }

func (a *numberSums) Values() map[string]float64 { return values(a.measures, a) }

func (a *numberSums) MarshalJSON() ([]byte, error) { return json.Marshal(a.numberTotals) }

func (a *numberSums) UnmarshalJSON(data []byte) error {
	var in numberTotals
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Count < 0 || in.Labels.Count != in.Count || !(in.Squared >= 0) || !(in.Absolute >= 0) || !(in.Labels.Squares >= 0) {
		return fmt.Errorf("the sums contradict each other: %d rows, %d labels, squares %v, absolutes %v", in.Count, in.Labels.Count, in.Squared, in.Absolute)
	}
	a.numberTotals = in
	return nil
}
