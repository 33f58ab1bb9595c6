package evaluation

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// Folds is what k-fold cross-validation found: how well the pipeline does on rows that it
// was not trained on, and how much that varies.
type Folds struct {
	Folds []Fold `json:"folds"`
	// Means are over the folds, by metric.
	Means map[string]Mean `json:"means"`
}

// Fold is what a model that was trained without the rows of a fold, is worth on them.
type Fold struct {
	// Trained and Validated are the rows of the other folds that it was trained on, and
	// that early stopping and the threshold go by; Rows are those of the fold.
	Trained   int64 `json:"trained"`
	Validated int64 `json:"validated"`
	Rows      int64 `json:"rows"`
	// UnknownClasses counts the rows of the fold whose class no training row has.
	UnknownClasses int64 `json:"unknown_classes,omitempty"`
	// Model is the sha256 of the model.
	Model   string             `json:"model"`
	Metrics map[string]float64 `json:"metrics"`
}

// Mean is a metric over the folds.
type Mean struct {
	// Of is how many folds have it: one without rows has none.
	Of    int     `json:"of"`
	Value float64 `json:"value"`
	// Deviation is the standard deviation between the folds, of n-1.
	Deviation float64 `json:"deviation"`
	// Interval is the 95 % interval of the mean; nil of a single fold.
	Interval *[2]float64 `json:"interval,omitempty"`
}

// students are the 97.5 % quantiles of Student's distribution by degrees of freedom, from 1,
// as tables have them.
var students = [...]float64{12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157,
	2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024}

// NewFolds returns folds with the means of their metrics.
func NewFolds(folds []Fold) *Folds {
	d := &Folds{Folds: folds, Means: make(map[string]Mean)}
	values := make(map[string][]float64)
	for _, f := range folds {
		for name, v := range f.Metrics {
			if name != metric.Rows {
				values[name] = append(values[name], v)
			}
		}
	}
	for name, of := range values {
		d.Means[name] = meanOf(of)
	}
	return d
}

// meanOf returns the mean of values with its interval. Models of folds share training rows,
// so their metrics vary less than those of independent ones would: the variance is that of
// Nadeau and Bengio, Inference for the Generalization Error (2003), in which a share of
// 1/(k-1) test rows to a training row adds to 1/k.
func meanOf(of []float64) Mean {
	var m metric.Moments
	for _, v := range of {
		m.Add(v)
	}
	k := len(of)
	out := Mean{Of: k, Value: m.Mean}
	if k < 2 {
		return out
	}
	variance := m.Squares / float64(k-1)
	out.Deviation = math.Sqrt(variance)
	half := float64(students[min(k-1, len(students))-1] * math.Sqrt(variance*(1/float64(k)+1/float64(k-1))))
	out.Interval = &[2]float64{out.Value - half, out.Value + half}
	return out
}

// estimates are the means as a gate looks at them.
func (d *Folds) estimates() map[string]metric.Estimate {
	all := make(map[string]metric.Estimate)
	if d != nil {
		for name, m := range d.Means {
			all[name] = metric.Estimate{Value: m.Value, Interval: m.Interval}
		}
	}
	return all
}

// Warnings say which metrics folds lack, and of how many rows nothing is known.
func (d *Folds) Warnings() (texts []string) {
	for i, f := range d.Folds {
		if f.Rows == 0 {
			texts = append(texts, fmt.Sprintf("fold %d has no row that can be measured: the means are over the others", i+1))
		}
		if f.UnknownClasses > 0 {
			texts = append(texts, fmt.Sprintf("fold %d: %d rows are not measured: their class is none that a row of the other folds has", i+1, f.UnknownClasses))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Means)) {
		measured := slices.DeleteFunc(slices.Clone(d.Folds), func(f Fold) bool { return f.Rows == 0 })
		if n := d.Means[name].Of; n < len(measured) {
			texts = append(texts, fmt.Sprintf("%s is undefined in %d of %d folds: its mean is over the others", name, len(measured)-n, len(measured)))
		}
	}
	return texts
}

// Table shows the folds by their first few metrics, in as many lines as fit into so many
// bytes.
func (d *Folds) Table(spec *pipeline.Spec, most int) string {
	names := namedMetrics(spec, func(name string) bool { _, ok := d.Means[name]; return ok })
	rows := [][]string{append([]string{"fold", "trained", "rows"}, names...)}
	number := func(v float64) string { return fmt.Sprintf("%.6g", v) }
	for i, f := range d.Folds {
		cells := []string{fmt.Sprint(i + 1), fmt.Sprint(f.Trained), fmt.Sprint(f.Rows)}
		for _, name := range names {
			text := "-"
			if v, ok := f.Metrics[name]; ok {
				text = number(v)
			}
			cells = append(cells, text)
		}
		rows = append(rows, cells)
	}
	for _, of := range []struct {
		name string
		text func(Mean) string
	}{
		{"mean", func(m Mean) string { return number(m.Value) }},
		{"deviation", func(m Mean) string { return number(m.Deviation) }},
		{"95 % interval", func(m Mean) string {
			if m.Interval == nil {
				return "-"
			}
			return number(m.Interval[0]) + " to " + number(m.Interval[1])
		}},
	} {
		cells := []string{of.name, "", ""}
		for _, name := range names {
			cells = append(cells, of.text(d.Means[name]))
		}
		rows = append(rows, cells)
	}
	return TableText(rows, most)
}
