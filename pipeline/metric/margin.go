package metric

import (
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// marginSums accumulates margins against labels 0 and 1: what binarySums does of
// their sigmoids, which have the same order, but right is the side of 0.
type marginSums struct {
	binarySums
	Hinge    float64
	sigmoids []float32
}

func (a *marginSums) Observe(predictions, labels []float32) {
	hits, alarms := a.Hits, a.Alarms
	for i, z := range predictions {
		switch {
		case z < 0:
		case labels[i] != 0:
			hits++
		default:
			alarms++
		}
		if labels[i] == 0 {
			z = -z
		}
		a.Hinge += max(0, 1-float64(z))
	}
	a.sigmoids = append(a.sigmoids[:0], predictions...)
	kernel.Sigmoid(a.sigmoids, a.sigmoids)
	a.binarySums.Observe(a.sigmoids, labels)
	a.Hits, a.Alarms = hits, alarms
}

func (a *marginSums) Merge(other Accumulator) error {
	b, ok := other.(*marginSums)
	if !ok {
		return mergeError(a, other)
	}
	a.Hinge += b.Hinge
	return a.binarySums.Merge(&b.binarySums)
}

func (a *marginSums) Values() map[string]float64 {
	out := a.known.values(a)
	if a.Count > 0 {
		out[BaseRate] = float64(a.Ones) / float64(a.Count)
	}
	return out
}

// Curves implements Detailed: without what is of probabilities.
func (a *marginSums) Curves() []Curve {
	curves := a.binarySums.Curves()[:2]
	for k, c := range curves {
		curves[k].Columns = c.Columns[:2]
		for i, p := range c.Points {
			c.Points[i] = p[:2]
		}
	}
	return curves
}

// marginJSON is the form of the accumulator at rest.
type marginJSON struct {
	Binary json.RawMessage `json:"binary"`
	Hinge  float64         `json:"hinge"`
}

func (a *marginSums) MarshalJSON() ([]byte, error) {
	binary, err := json.Marshal(&a.binarySums)
	if err != nil {
		return nil, err
	}
	return json.Marshal(marginJSON{binary, a.Hinge})
}

func (a *marginSums) UnmarshalJSON(data []byte) error {
	var in marginJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if !(in.Hinge >= 0) {
		return fmt.Errorf("the sum of hinge losses is %v", in.Hinge)
	}
	a.Hinge = in.Hinge
	return a.binarySums.UnmarshalJSON(in.Binary)
}
