package metric

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// classSums accumulates probabilities of classes against the classes' numbers.
type classSums struct {
	classCounts
	classes int
	loss    kernel.LogSum // of the labels' probabilities
	pairs   *pairs        // nil: rows are not counted by label and prediction
	known
}

type classCounts struct {
	Count   int64   `json:"rows"`
	Squared float64 `json:"squared"` // sum of the squares of probabilities - label, over the classes too
	// ByClass are the classes that rows have or are taken for, in order.
	ByClass []classCount `json:"by_class,omitempty"`
	// Confidence are the rows by the probability of the class that they are taken for, in
	// bins of equal width.
	Confidence [calibrationBins]confidence `json:"confidence"`
	coverage
}

// confidence is the rows of a bin: how many, how many are right, and the sum of the
// probabilities.
type confidence struct {
	Rows    int64   `json:"rows,omitempty"`
	Correct int64   `json:"correct,omitempty"`
	Sum     float64 `json:"sum,omitempty"`
}

// calibrationError is the mean difference of the likeliest class's probability and the
// share of right rows over the bins, by their rows.
func (a *classSums) calibrationError() (sum float64, ok bool) {
	for _, b := range a.Confidence {
		sum += math.Abs(b.Sum-float64(b.Correct)) / float64(a.Count)
	}
	return sum, true
}

// classCount counts the rows of a class, those taken for it, and those right.
type classCount struct {
	Class   int   `json:"class"`
	Of      int64 `json:"of,omitempty"`
	Taken   int64 `json:"taken,omitempty"`
	Correct int64 `json:"correct,omitempty"`
}

// class returns the counts of a class, which is added if it is missing.
func (c *classCounts) class(k int) *classCount {
	at, ok := slices.BinarySearchFunc(c.ByClass, k, func(c classCount, k int) int { return cmp.Compare(c.Class, k) })
	if !ok {
		c.ByClass = slices.Insert(c.ByClass, at, classCount{Class: k})
	}
	return &c.ByClass[at]
}

func (c *classCounts) right() (part, of int64) {
	for _, k := range c.ByClass {
		part += k.Correct
	}
	return part, c.Count
}

// wrong says why the counts of classes cannot be, "" if they can.
func (c *classCounts) wrong(classes int) string {
	if flaw := c.flaw(c.Count); flaw != "" {
		return flaw
	}
	var of, taken int64
	before := -1
	for _, k := range c.ByClass {
		if k.Class <= before || k.Class >= classes || k.Correct < 0 || k.Of < k.Correct || k.Taken < k.Correct || k.Of > c.Count-of || k.Taken > c.Count-taken {
			return fmt.Sprintf("class %d of %d has %d rows, %d taken for it and %d right", k.Class, classes, k.Of, k.Taken, k.Correct)
		}
		before, of, taken = k.Class, of+k.Of, taken+k.Taken
	}
	rows := int64(0)
	for i, b := range c.Confidence {
		if b.Rows < 0 || b.Rows > c.Count-rows || b.Correct < 0 || b.Correct > b.Rows || !(b.Sum >= 0 && b.Sum <= float64(b.Rows)) {
			return fmt.Sprintf("bin %d of probabilities has %d rows, %d right and a sum of %v", i, b.Rows, b.Correct, b.Sum)
		}
		rows += b.Rows
	}
	if rows != c.Count {
		return fmt.Sprintf("the bins of probabilities have %d rows of %d", rows, c.Count)
	}
	if of != c.Count || taken != c.Count {
		return fmt.Sprintf("classes have %d rows, and %d are taken for one, of %d", of, taken, c.Count)
	}
	return ""
}

// macroF1 is the mean of the classes' F1, of those that rows have or are taken for.
func (a *classSums) macroF1() (mean float64, ok bool) {
	for _, k := range a.ByClass {
		mean += ratio(2*k.Correct, k.Of+k.Taken) / float64(len(a.ByClass))
	}
	return mean, true
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
		for k, p := range row {
			d := float64(p)
			if k == int(y) {
				d = 1 - d
			}
			a.Squared += float64(d * d)
		}
		taken := Likeliest(row)
		a.class(taken).Taken++
		of := a.class(int(y))
		of.Of++
		sure := &a.Confidence[min(int(row[taken]*calibrationBins), calibrationBins-1)]
		sure.Rows++
		sure.Sum += float64(row[taken])
		if taken == int(y) {
			of.Correct++
			sure.Correct++
		}
		a.pairs.add(int(y), taken)
	}
	a.Count += int64(len(labels))
	a.observe(predictions, labels, a.classes)
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
	a.Squared += b.Squared
	for i, bin := range b.Confidence {
		c := &a.Confidence[i]
		c.Rows, c.Correct, c.Sum = c.Rows+bin.Rows, c.Correct+bin.Correct, c.Sum+bin.Sum
	}
	for _, k := range b.ByClass {
		c := a.class(k.Class)
		c.Of, c.Taken, c.Correct = c.Of+k.Of, c.Taken+k.Taken, c.Correct+k.Correct
	}
	a.coverage.merge(&b.coverage)
	a.loss.Merge(b.loss.Value())
	a.pairs.merge(b.pairs)
	return nil
}

func (a *classSums) Rows() int64 { return a.Count }

func (a *classSums) Values() map[string]float64 { return a.known.values(a) }

// classJSON is the form of the accumulator at rest.
type classJSON struct {
	classCounts
	Classes int         `json:"classes"`
	LogSum  float64     `json:"log_sum"`
	Pairs   []pairCount `json:"pairs,omitempty"`
}

func (a *classSums) MarshalJSON() ([]byte, error) {
	return json.Marshal(classJSON{a.classCounts, a.classes, a.loss.Value(), a.pairs.list()})
}

func (a *classSums) UnmarshalJSON(data []byte) error {
	var in classJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Classes != a.classes || in.Count < 0 || !(in.Squared >= 0) || !(in.LogSum <= 0) {
		return fmt.Errorf("the sums contradict each other: %d classes, not %d, %d rows, squares %v, log sum %v", in.Classes, a.classes, in.Count, in.Squared, in.LogSum)
	}
	if flaw := in.wrong(a.classes); flaw != "" {
		return fmt.Errorf("the sums contradict each other: %s", flaw)
	}
	if err := a.pairs.set(in.Pairs, in.ByClass); err != nil {
		return fmt.Errorf("the sums contradict each other: %w", err)
	}
	in.by = a.by
	*a = classSums{classCounts: in.classCounts, classes: a.classes, known: a.known, pairs: a.pairs}
	a.loss.Merge(in.LogSum)
	return nil
}
