// Package conformal says how far answers may be off: intervals around numbers and sets of
// labels that have the true one with a probability (Vovk et al. 2005). It holds where rows
// come in no order, whatever the model is, and on average over all rows: of a part of them
// it may be more or less.
package conformal

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// The scores by which rows are compared. What is in an interval or a set is what would have
// a score of at most the quantile.
const (
	// Absolute is the distance of a number from what is predicted.
	Absolute = "absolute"
	// Quantiles is how far a number is beyond the outermost of the predicted quantiles,
	// negative within (CQR: Romano, Patterson and Candès 2019).
	Quantiles = "quantiles"
	// Likelihood is what the probability of the label lacks to 1 (LAC: Sadinle, Lei and
	// Wasserman 2019).
	Likelihood = "lac"
	// Cumulative is the probability of all labels that are likelier than the label, and a
	// random part of its own (APS: Romano, Sesia and Candès 2020).
	Cumulative = "aps"
)

// Conformal is what was found in rows that training did not see. It is immutable.
type Conformal struct {
	Method   string  `json:"method"`
	Coverage float64 `json:"coverage"`
	// Rows are those that it was found in; Quantile is that of their scores.
	Rows     int64   `json:"rows"`
	Quantile float64 `json:"quantile"`
	// Positive: numbers are 0 or more, and so are the ends of intervals.
	Positive bool `json:"positive,omitempty"`
}

// rank returns which of n sorted scores, from 1, has the coverage: n+1 for none.
func rank(n int, coverage float64) int {
	// A product that should be whole may be above it by a rounding.
	return min(n+1, int(math.Ceil(float64(float64(n+1)*coverage)-1e-9)))
}

// Least returns the least rows that a coverage can be found in.
func Least(coverage float64) int {
	n := int(coverage / (1 - coverage)) // within a rounding
	for n = max(1, n-1); rank(n, coverage) > n; n++ {
	}
	return n
}

// Fit finds the quantile of the scores, which it sorts.
func (c Conformal) Fit(scores []float64) (*Conformal, error) {
	slices.Sort(scores)
	k := rank(len(scores), c.Coverage)
	if k > len(scores) {
		return nil, fmt.Errorf("a coverage of %v needs at least %d rows for calibration, there are %d", c.Coverage, Least(c.Coverage), len(scores))
	}
	c.Rows, c.Quantile = int64(len(scores)), scores[k-1]
	return &c, nil
}

// Check returns what is wrong with one that came from outside.
func (c *Conformal) Check() error {
	if !slices.Contains([]string{Absolute, Quantiles, Likelihood, Cumulative}, c.Method) || !(c.Coverage > 0 && c.Coverage < 1) || c.Quantile-c.Quantile != 0 || c.Rows < 1 {
		return fmt.Errorf("conformal %q of coverage %v, quantile %v and %d rows cannot be", c.Method, c.Coverage, c.Quantile, c.Rows)
	}
	return nil
}

// Numbers reports whether there are intervals; else there are sets of labels.
func (c *Conformal) Numbers() bool { return c.Method == Absolute || c.Method == Quantiles }

// Score returns that of a row's prediction and label. u, from 0 to 1, is the row's random
// part.
func (c *Conformal) Score(prediction []float32, label float32, u float64) float64 {
	y := float64(label)
	switch c.Method {
	case Absolute:
		return math.Abs(y - float64(prediction[0]))
	case Quantiles:
		return max(float64(prediction[0])-y, y-float64(prediction[len(prediction)-1]))
	case Likelihood:
		return 1 - probability(prediction, int(label))
	}
	own := probability(prediction, int(label))
	sum := own - float64(u*own)
	for k := range classes(prediction) {
		if likelier(prediction, k, int(label)) {
			sum += probability(prediction, k)
		}
	}
	return sum
}

// Interval returns the ends of that of a prediction.
func (c *Conformal) Interval(prediction []float32) (low, high float64) {
	low, high = float64(prediction[0])-c.Quantile, float64(prediction[len(prediction)-1])+c.Quantile
	if c.Positive {
		low, high = max(0, low), max(0, high)
	}
	return low, high
}

// Set marks the labels in that of a prediction: of a binary one false and true. in has a
// place for each.
func (c *Conformal) Set(prediction []float32, in []bool) {
	if c.Method == Likelihood {
		for k := range in {
			in[k] = 1-probability(prediction, k) <= c.Quantile
		}
		return
	}
	// The likeliest labels until they have the quantile together, which the last one may
	// exceed.
	order := make([]int, len(in))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(probability(prediction, b), probability(prediction, a)), cmp.Compare(a, b))
	})
	clear(in)
	sum := 0.0
	for _, k := range order {
		in[k] = true
		if sum += probability(prediction, k); sum >= c.Quantile {
			return
		}
	}
}

// classes is how many labels a prediction tells apart.
func classes(prediction []float32) int { return max(2, len(prediction)) }

// probability returns that of a label; a binary prediction is that of true.
func probability(prediction []float32, k int) float64 {
	if len(prediction) > 1 {
		return float64(prediction[k])
	}
	if k == 0 {
		return 1 - float64(prediction[0])
	}
	return float64(prediction[0])
}

// likelier reports whether label a comes before b: of equally likely ones the first.
func likelier(prediction []float32, a, b int) bool {
	p, q := probability(prediction, a), probability(prediction, b)
	return p > q || p == q && a < b
}
