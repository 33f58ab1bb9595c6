package feature

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// scaled encodes a number as one number slot: (warp(x) - shift) * scale,
// rounded to float32 at the end and cut to ±MaxNumber.
type scaled struct {
	name         string
	warp         func(float64) float64
	shift, scale float64
	fill         float32 // what a missing value becomes
	deviation    float64 // of a curve, Normalization.Deviation; 0: none
}

// Scaled passes a number on as it is normalised.
type Scaled struct{}

// For implements pipeline.Typed.
func (*Scaled) For() string { return numberType }

// Fit implements Encoder.
func (*Scaled) Fit(f pipeline.Feature, s *Statistics, out *Feature) (err error) {
	out.Number, err = fitNumber(f, s, out.Missing)
	return err
}

// fitNumber returns the data of a number with a strategy for missing values.
func fitNumber(f pipeline.Feature, s *Statistics, missing string) (*Number, error) {
	norm, err := normalization(f)
	if err != nil {
		return nil, err
	}
	n := Number{Normalization: f.Options.Normalization, Scale: 1, Statistics: s.Number}
	switch {
	case s.Number.Count == 0:
	case norm.Sampled != nil:
		n.Curve, n.Shift, n.Scale = norm.Sampled(slices.Sorted(slices.Values(s.Sample.Values)), s.Number)
	default:
		n.Shift, n.Scale = norm.Fit(s.Warped)
	}
	n.Fill, err = fillOf(f, s, missing)
	return &n, err
}

// fillOf returns what a missing number counts as.
func fillOf(f pipeline.Feature, s *Statistics, missing string) (float64, error) {
	switch missing {
	case fillWithMean, dropRow:
		return s.Number.Mean, nil
	case fillWithMedian:
		if s.Number.Count == 0 {
			return 0, nil
		}
		return quantile(slices.Sorted(slices.Values(s.Sample.Values)), 0.5), nil
	case fillWithConst:
		return fillNumber(f.Options.FillValue)
	}
	return 0, &thalweg.Error{Op: "missing_value_strategy of a " + f.Type, Kind: thalweg.Unsupported, Subject: strconv.Quote(missing)}
}

// fillNumber returns a YAML scalar as a finite number; none is 0.
func fillNumber(v any) (float64, error) {
	x, ok := pipeline.ToNumber(v)
	if v != nil && !ok {
		return 0, &thalweg.Error{Op: "fit", Kind: thalweg.Invalid, Subject: fmt.Sprintf("fill_value %v", v), Hint: "a number feature needs a number"}
	}
	if !finite(x) {
		return 0, &thalweg.Error{Op: "fit", Kind: thalweg.Invalid, Subject: fmt.Sprintf("fill_value %v", v), Hint: "it must be finite"}
	}
	return x, nil
}

// Load implements Encoder.
func (*Scaled) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	n := data.Number
	if n == nil {
		return nil, fmt.Errorf("no number data")
	}
	return loadNumber(f, n)
}

// loadNumber returns the encoding that data says, which it checks.
func loadNumber(f pipeline.Feature, n *Number) (*scaled, error) {
	norm, err := normalization(f)
	if err != nil {
		return nil, err
	}
	if n.Normalization != f.Options.Normalization {
		return nil, fmt.Errorf("normalization is %q, the spec says %q", n.Normalization, f.Options.Normalization)
	}
	if !finite(n.Fill) || !finite(n.Shift) || !finite(n.Scale) {
		return nil, fmt.Errorf("fill, shift and scale must be finite")
	}
	if err := n.Statistics.check(); err != nil {
		return nil, err
	}
	e := &scaled{name: f.Name, warp: norm.Warp, shift: n.Shift, scale: n.Scale}
	switch curved := norm.Curve != nil && n.Statistics.Count > 0; {
	case curved:
		if e.warp, err = norm.Curve(n.Curve); err != nil {
			return nil, err
		}
		e.deviation = norm.Deviation
	case n.Curve != nil:
		return nil, fmt.Errorf("a curve of normalization %q", n.Normalization)
	}
	e.fill = float32(clip(e.value(n.Fill)))
	return e, nil
}

// spread returns how far a standard deviation of the values, around their mean,
// moves what becomes of them; of a curve, which bends what lies far from most
// values, the standard deviation of that.
func (e *scaled) spread(m Moments) float64 {
	switch {
	case e.scale == 0 || m.Min == m.Max:
		return 0
	case e.deviation != 0:
		return e.deviation
	}
	d := float64(m.Deviation() / 2)
	return clip(e.value(m.Mean+d)) - clip(e.value(m.Mean-d))
}

// value is the loop's body without the cut.
func (e *scaled) value(x float64) float64 {
	if e.warp != nil {
		x = e.warp(x)
	}
	return (x - e.shift) * e.scale
}

// AddTo implements Encoding.
func (e *scaled) AddTo(s *kernel.Shape) {
	s.Numbers++
	s.NumberNames = append(s.NumberNames, e.name)
}

// Encode implements Encoding.
func (e *scaled) Encode(a arrow.Array, out Slots, _ *Memo, n *Tally) error {
	dst := out.Numbers[0]
	switch a := a.(type) {
	case *array.Int64:
		encodeNumbers(e, a, a.Int64Values(), dst, n)
	case *array.Float64:
		encodeNumbers(e, a, a.Float64Values(), dst, n)
	case *array.Boolean:
		encodeNumbers(e, a, table.Indicators(a), dst, n)
	default:
		return unreadable("feature "+e.name, a)
	}
	return nil
}

// encode is the loop of encodeNumbers for one value.
func (e *scaled) encode(x float64, present bool, n *Tally) float32 {
	if !present || !finite(x) {
		n.Filled++
		return e.fill
	}
	y := e.value(x)
	if !(y >= -MaxNumber && y <= MaxNumber) {
		y = clip(y)
		n.Clipped++
	}
	return float32(y)
}

func encodeNumbers[T int64 | float64](e *scaled, a arrow.Array, values []T, dst []float32, n *Tally) {
	var valid table.Mask
	nulls := a.NullN() > 0
	if nulls {
		valid = table.Valid(a)
	}
	shift, scale, warp := e.shift, e.scale, e.warp
	dst = dst[:len(values)]
	for i, v := range values {
		x := float64(v)
		if !finite(x) || nulls && !valid.Has(i) {
			dst[i] = e.fill
			n.Filled++
			continue
		}
		if warp != nil {
			x = warp(x)
		}
		y := (x - shift) * scale
		if !(y >= -MaxNumber && y <= MaxNumber) {
			y = clip(y)
			n.Clipped++
		}
		dst[i] = float32(y)
	}
}

// clip cuts y to ±MaxNumber. A NaN comes of a difference that overflowed, times
// a scale of 0: the feature is constant, and so is 0.
func clip(y float64) float64 {
	if y != y {
		return 0
	}
	return max(-MaxNumber, min(MaxNumber, y))
}

// indicated is the encoding of a number with one more number slot, which is 1 where the
// value is missing and else 0.
type indicated struct {
	Encoding
	name string
}

// indicatorName names the slot that says whether a feature is missing.
func indicatorName(feature string) string { return feature + " (missing)" }

// AddTo implements Encoding.
func (e *indicated) AddTo(s *kernel.Shape) {
	e.Encoding.AddTo(s)
	s.Numbers++
	s.NumberNames = append(s.NumberNames, indicatorName(e.name))
}

// Encode implements Encoding.
func (e *indicated) Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error {
	last := len(out.Numbers) - 1
	if err := e.Encoding.Encode(a, Slots{Numbers: out.Numbers[:last]}, m, n); err != nil {
		return err
	}
	dst := out.Numbers[last][:a.Len()]
	clear(dst)
	for i := range missingIn(numberType, 0, a).Marked() {
		dst[i] = 1
	}
	return nil
}

// Plain are the names of the number slots of a feature that hold what they are named by,
// whatever training saw.
func (f *Feature) Plain() (names []string) {
	if f.Periodic != nil {
		names = append(names, f.Name+sinSlot, f.Name+cosSlot)
	}
	if f.Indicator {
		names = append(names, indicatorName(f.Name))
	}
	return names
}

// Missed is the share of the training rows in which a number is missing.
func (f *Feature) Missed() float64 {
	m := new(Moments)
	if f.Number != nil {
		m = &f.Number.Statistics
	} else if f.Periodic != nil {
		m = &f.Periodic.Statistics
	}
	return float64(m.Missing) / float64(max(m.Count+m.Missing, 1))
}
