package balance

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
)

// Weights say how much training rows weigh, so that the values of a column weigh the same:
// a row of value v
//
//	rows / (values * rows of v)
//
// times, which is scikit-learn's class_weight "balanced". The rows are those that have a
// value; others weigh 1. So the mean weight is 1. It is immutable.
type Weights struct {
	of     pipeline.Balance
	counts Counts
	by     map[string]float32
	most   float64
}

// NewWeights returns what weighs rows of which so many have each value.
func NewWeights(of pipeline.Balance, counts Counts) *Weights {
	w := &Weights{of: of, counts: counts, by: make(map[string]float32, len(counts)), most: 1}
	rows := int64(0)
	for _, n := range counts {
		rows += n
	}
	for v, n := range counts {
		w.by[v] = float32(float64(rows) / (float64(len(counts)) * float64(n)))
		w.most = max(w.most, float64(w.by[v]))
	}
	return w
}

// Most is the largest weight.
func (w *Weights) Most() float64 { return w.most }

// Weigh appends the weights of rows to dst.
func (w *Weights) Weigh(rows arrow.Record, _, dst []float32) ([]float32, error) {
	value, err := valuesOf(w.of.By, rows)
	if err != nil {
		return nil, err
	}
	for i := range int(rows.NumRows()) {
		weight := float32(1)
		if v, ok := value(i); ok {
			if of, known := w.by[v]; known { // others are of validation rows, which are not weighed
				weight = of
			}
		}
		dst = append(dst, weight)
	}
	return dst, nil
}

// muchWeight is how much more a row weighs than the mean before it is said.
const muchWeight = 100

// Warnings say which rows weigh very much.
func (w *Weights) Warnings() (texts []string) {
	for _, v := range slices.Sorted(maps.Keys(w.by)) {
		if w.by[v] > muchWeight {
			texts = append(texts, fmt.Sprintf("%s: the %d rows with %s %q weigh %.4g times the mean row, so that the model may learn them by heart", w.of.Step, w.counts[v], w.of.By, v, w.by[v]))
		}
	}
	return texts
}

// Table is the values, the most frequent first, with their training rows and what one weighs.
func (w *Weights) Table() [][]string {
	rows := [][]string{{w.of.By, "rows", "weight"}}
	for _, v := range w.counts.values() {
		rows = append(rows, []string{v, strconv.FormatInt(w.counts[v], 10), strconv.FormatFloat(float64(w.by[v]), 'g', 4, 64)})
	}
	return rows
}
