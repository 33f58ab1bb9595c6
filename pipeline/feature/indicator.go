package feature

import (
	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

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
