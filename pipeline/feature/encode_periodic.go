package feature

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Periodic lays a number on a circle, so that 23 o'clock is as near to 0 as to 22: two
// numbers, the sine and the cosine of how much of the period has passed.
type Periodic struct {
	// Period is how much of the number is once around: 24 for hours, 7 for days of the
	// week, 365.25 for days of the year. A missing value is in the middle of the circle,
	// 0 in both, but with fill_with_const where that is.
	Period float64 `yaml:"period,omitempty" json:"period,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000000000"`
}

// The endings of the names of the slots.
const (
	sinSlot = " (sine)"
	cosSlot = " (cosine)"
)

// For implements pipeline.Typed.
func (*Periodic) For() string { return numberType }

// Check implements pipeline.Checker.
func (p *Periodic) Check(at pipeline.Place) {
	if p.Period == 0 && at.Omits("period") {
		at.Problem("", "such as period: 24 for hours", "a periodic encoder needs a period")
	}
}

// Cycle implements pipeline.Cyclic.
func (p *Periodic) Cycle() float64 { return p.Period }

// Circular is the data of a number on a circle.
type Circular struct {
	Period float64 `json:"period"`
	// Fill is what a missing value counts as; nil: it is in the middle.
	Fill *float64 `json:"fill,omitempty"`
	// Statistics are of the training rows.
	Statistics Moments `json:"statistics"`
}

// Fit implements Encoder.
func (p *Periodic) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	fill, err := fillOf(f, s, out.Missing)
	if err != nil {
		return err
	}
	out.Periodic = &Circular{Period: p.Period, Statistics: s.Number}
	if out.Missing == fillWithConst {
		out.Periodic.Fill = &fill
	}
	return nil
}

// Load implements Encoder.
func (p *Periodic) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	c := data.Periodic
	if c == nil {
		return nil, fmt.Errorf("no data of a circle")
	}
	if c.Period != p.Period || !(c.Period > 0) {
		return nil, fmt.Errorf("the period is %v, the spec says %v", c.Period, p.Period)
	}
	e := &periodic{name: f.Name, period: c.Period}
	if c.Fill != nil {
		if !finite(*c.Fill) {
			return nil, fmt.Errorf("the fill is %v", *c.Fill)
		}
		e.fill[0], e.fill[1] = e.at(*c.Fill)
	}
	return e, c.Statistics.check()
}

// periodic encodes a number as two number slots.
type periodic struct {
	name   string
	period float64
	fill   [2]float32
}

// AddTo implements Encoding.
func (e *periodic) AddTo(s *kernel.Shape) {
	s.Numbers += 2
	s.NumberNames = append(s.NumberNames, e.name+sinSlot, e.name+cosSlot)
}

// at returns the place of a value on the circle. The rest of a division is exact.
func (e *periodic) at(x float64) (sin, cos float32) {
	s, c := kernel.SinCos(math.Mod(x, e.period) / e.period)
	return float32(s), float32(c)
}

// Encode implements Encoding.
func (e *periodic) Encode(a arrow.Array, out Slots, _ *Memo, n *Tally) error {
	var value func(i int) float64
	switch a := a.(type) {
	case *array.Int64:
		value = func(i int) float64 { return float64(a.Value(i)) }
	case *array.Float64:
		value = a.Value
	case *array.Boolean:
		of := table.Indicators(a)
		value = func(i int) float64 { return float64(of[i]) }
	default:
		return unreadable("feature "+e.name, a)
	}
	sin, cos := out.Numbers[0], out.Numbers[1]
	for i := range a.Len() {
		x := value(i)
		if a.IsNull(i) || !finite(x) {
			sin[i], cos[i] = e.fill[0], e.fill[1]
			n.Filled++
			continue
		}
		sin[i], cos[i] = e.at(x)
	}
	return nil
}
