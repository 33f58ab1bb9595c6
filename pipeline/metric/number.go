package metric

import (
	"encoding/json"
	"fmt"
	"math"
)

// numberSums accumulates predicted against true values.
type numberSums struct {
	rows              int64
	squared, absolute float64
	labels            Moments
	measures          map[string]*Measure
}

func (a *numberSums) Observe(predictions, labels []float32) {
	if len(predictions) != len(labels) {
		panic("metric: not one label per prediction")
	}
	for i, y := range labels {
		d := float64(predictions[i]) - float64(y)
		a.squared += float64(d * d)
		a.absolute += math.Abs(d)
		a.labels.Add(float64(y))
	}
	a.rows += int64(len(labels))
}

func (a *numberSums) Merge(other Accumulator) error {
	b, ok := other.(*numberSums)
	if !ok {
		return mergeError(a, other)
	}
	a.rows += b.rows
	a.squared += b.squared
	a.absolute += b.absolute
	a.labels.Merge(b.labels)
	return nil
}

func (a *numberSums) Rows() int64 { return a.rows }

func (a *numberSums) Values() map[string]float64 { return values(a.measures, a) }

// numberJSON is the form of a number accumulator at rest.
type numberJSON struct {
	Rows     int64   `json:"rows"`
	Squared  float64 `json:"squared"`
	Absolute float64 `json:"absolute"`
	Labels   Moments `json:"labels"`
}

func (a *numberSums) MarshalJSON() ([]byte, error) {
	return json.Marshal(numberJSON{Rows: a.rows, Squared: a.squared, Absolute: a.absolute, Labels: a.labels})
}

func (a *numberSums) UnmarshalJSON(data []byte) error {
	var in numberJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Rows < 0 || in.Labels.Count != in.Rows || !(in.Squared >= 0) || !(in.Absolute >= 0) || !(in.Labels.Squares >= 0) {
		return fmt.Errorf("the sums contradict each other: %d rows, %d labels, squares %v, absolutes %v", in.Rows, in.Labels.Count, in.Squared, in.Absolute)
	}
	*a = numberSums{measures: a.measures, rows: in.Rows, squared: in.Squared, absolute: in.Absolute, labels: in.Labels}
	return nil
}
