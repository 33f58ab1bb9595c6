package metric

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/conformal"
)

// The metrics of answers that say how far they may be off.
const (
	Coverage      = "coverage"       // share of rows whose interval or set has the label
	IntervalWidth = "interval_width" // number, count, quantiles: mean width of the intervals
	SetSize       = "set_size"       // binary, category: mean count of labels in the sets
)

// coverage counts rows whose label is within their interval or set.
type coverage struct {
	// Within are these, and Width the sum of the intervals' widths or the sets' sizes.
	Within int64   `json:"within,omitempty"`
	Width  float64 `json:"width,omitempty"`

	by  *conformal.Conformal // nil: there is nothing to count
	set []bool
}

// observe adds rows, of which each has so many predictions.
func (c *coverage) observe(predictions, labels []float32, width int) {
	if c.by == nil {
		return
	}
	c.set = make([]bool, max(2, width))
	for i, y := range labels {
		row := predictions[i*width : (i+1)*width]
		if c.by.Numbers() {
			low, high := c.by.Interval(row)
			c.Width += high - low
			if low <= float64(y) && float64(y) <= high {
				c.Within++
			}
			continue
		}
		c.by.Set(row, c.set)
		for _, in := range c.set {
			if in {
				c.Width++
			}
		}
		if c.set[int(y)] {
			c.Within++
		}
	}
}

func (c *coverage) merge(other *coverage) {
	c.Within += other.Within
	c.Width += other.Width
}

// flaw says why counts that came from outside cannot be, "" if they can.
func (c *coverage) flaw(rows int64) string {
	if c.Within < 0 || c.Within > rows || c.Width-c.Width != 0 {
		return fmt.Sprintf("%d of %d rows are within, and the sum of widths is %v", c.Within, rows, c.Width)
	}
	return ""
}

// covered is sums with a coverage.
type covered interface {
	Accumulator
	covering() *coverage
}

func (a *binarySums) covering() *coverage { return &a.coverage }
func (a *classSums) covering() *coverage  { return &a.coverage }
func (a *numberSums) covering() *coverage { return &a.coverage }

// coverages are the metrics of intervals or sets for a type of answer.
func coverages(output, width string) []pipeline.Entry {
	part := share(output, Coverage, func(a covered) (part, of int64) {
		if c := a.covering(); c.by != nil {
			return c.Within, a.Rows()
		}
		return 0, 0
	})
	mean := measure(output, width, false, 0, 0, func(a covered) (float64, bool) {
		c := a.covering()
		return c.Width / float64(a.Rows()), c.by != nil
	})
	part.Options.(*Measure).uncertain, mean.Options.(*Measure).uncertain = true, true
	return []pipeline.Entry{part, mean}
}

// OfUncertainty implements pipeline.UncertaintyMetric.
func (m *Measure) OfUncertainty() bool { return m.uncertain }
