package metric

import (
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// classSums accumulates probabilities of classes against the classes' numbers.
type classSums struct {
	classCounts
	classes  int
	loss     kernel.LogSum // of the labels' probabilities
	measures map[string]*Measure
}

type classCounts struct {
	Count   int64 `json:"rows"`
	Correct int64 `json:"correct"`
}

// Likeliest returns the class of the largest probability, the first of equal ones.
func Likeliest(probabilities []float32) int {
	best := 0
	for k, p := range probabilities {
		if p > probabilities[best] {
			best = k
		}
	}
	return best
}

func (a *classSums) Observe(predictions, labels []float32) {
	if len(predictions) != len(labels)*a.classes {
		panic("metric: not one probability per class and label")
	}
	for i, y := range labels {
		row := predictions[i*a.classes : (i+1)*a.classes]
		a.loss.Add(float64(row[int(y)]))
		if Likeliest(row) == int(y) {
			a.Correct++
		}
	}
	a.Count += int64(len(labels))
}

func (a *classSums) Merge(other Accumulator) error {
	b, ok := other.(*classSums)
	if !ok || a.classes != b.classes {
		return mergeError(a, other)
	}
	if b.Count == 0 {
		return nil
	}
	a.Count += b.Count
	a.Correct += b.Correct
	a.loss.Merge(b.loss.Value())
	return nil
}

func (a *classSums) Rows() int64 { return a.Count }

func (a *classSums) Values() map[string]float64 { return values(a.measures, a) }

// classJSON is the form of the accumulator at rest.
type classJSON struct {
	classCounts
	Classes int     `json:"classes"`
	LogSum  float64 `json:"log_sum"`
}

func (a *classSums) MarshalJSON() ([]byte, error) {
	return json.Marshal(classJSON{a.classCounts, a.classes, a.loss.Value()})
}

func (a *classSums) UnmarshalJSON(data []byte) error {
	var in classJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Classes != a.classes || in.Count < 0 || in.Correct < 0 || in.Correct > in.Count || !(in.LogSum <= 0) {
		return fmt.Errorf("the sums contradict each other: %d classes, not %d, %d rows, %d correct, log sum %v", in.Classes, a.classes, in.Count, in.Correct, in.LogSum)
	}
	*a = classSums{classCounts: in.classCounts, classes: a.classes, measures: a.measures}
	a.loss.Merge(in.LogSum)
	return nil
}
