package feature

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Ordinal makes a category the rank of its value, from 0 on: integers by size, texts by
// their bytes. One that training gave no id is -1. The number is brought to mean 0 and
// deviation 1, as those of frequency and target are.
type Ordinal struct{}

// Frequency makes a category the share of the training rows that have its value, 0 of
// one that training gave no id.
type Frequency struct{}

// For implements pipeline.Typed.
func (*Ordinal) For() string { return categoryType }

// Values implements pipeline.Valued.
func (*Ordinal) Values() {}

// For implements pipeline.Typed.
func (*Frequency) For() string { return categoryType }

// Values implements pipeline.Valued.
func (*Frequency) Values() {}

// Valued is the data of a category that enters as a number: that of its id, less Shift,
// times Scale, which give the training rows mean 0 and deviation 1.
type Valued struct {
	Category
	// Numbers are those of the ids, of the unknown first.
	Numbers []float64 `json:"numbers"`
	// Held are, for each fold, those that its own training rows get, whose labels they
	// know nothing of (target).
	Held  [][]float64 `json:"held,omitempty"`
	Shift float64     `json:"shift"`
	Scale float64     `json:"scale"`
}

// Fit implements Encoder.
func (*Ordinal) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	return fitValued(f, s, out, func(v *Valued) {
		order := make([]int, len(v.Values))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return compareValues(v.Values[a], v.Values[b]) })
		v.Numbers[0] = -1
		for rank, i := range order {
			v.Numbers[i+1] = float64(rank)
		}
	})
}

// compareValues orders integers by size before texts by their bytes.
func compareValues(a, b string) int {
	x, notA := strconv.ParseInt(a, 10, 64)
	y, notB := strconv.ParseInt(b, 10, 64)
	switch {
	case notA == nil && notB == nil:
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	case notA == nil:
		return -1
	case notB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}

// Fit implements Encoder.
func (*Frequency) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	return fitValued(f, s, out, func(v *Valued) {
		rows := v.Unknown
		for _, n := range v.Counts {
			rows += n
		}
		for i, n := range v.Counts {
			v.Numbers[i+1] = float64(n) / float64(rows)
		}
	})
}

// fitValued gives ids to values, and to these the numbers that number sets.
func fitValued(f pipeline.Feature, s *Statistics, out *Feature, number func(v *Valued)) error {
	if err := new(OneHot).Fit(f, s, out); err != nil {
		return err
	}
	v := &Valued{Category: *out.Category, Numbers: make([]float64, len(out.Category.Values)+1)}
	number(v)
	v.Shift, v.Scale = v.normalise()
	out.Category, out.Valued = nil, v
	return nil
}

// normalise returns what brings the numbers of the training rows to mean 0 and deviation
// 1, by how many rows have each.
func (v *Valued) normalise() (shift, scale float64) {
	var m Moments
	for id, x := range v.Numbers {
		n := v.Unknown
		if id > 0 {
			n = v.Counts[id-1]
		}
		if n > 0 {
			m.merge(Moments{Count: n, Mean: x, Min: x, Max: x})
		}
	}
	return fitZScore(m)
}

// Load implements Encoder.
func (*Ordinal) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	return loadValued(f, data, 0)
}

// Load implements Encoder.
func (*Frequency) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	return loadValued(f, data, 0)
}

func loadValued(f pipeline.Feature, data *Feature, folds int) (Encoding, error) {
	v := data.Valued
	if v == nil {
		return nil, fmt.Errorf("no numbers of values")
	}
	ids, err := new(OneHot).Load(f, &Feature{Category: &v.Category})
	if err != nil {
		return nil, err
	}
	if len(v.Held) != folds || !finite(v.Shift) || !finite(v.Scale) {
		return nil, fmt.Errorf("numbers of %d folds, shift %v and scale %v", len(v.Held), v.Shift, v.Scale)
	}
	e := &valued{ids: ids.(*oneHot)}
	for fold, numbers := range append([][]float64{v.Numbers}, v.Held...) {
		if len(numbers) != len(v.Values)+1 {
			return nil, fmt.Errorf("%d numbers of %d values", len(numbers), len(v.Values))
		}
		of := make([]float32, len(numbers))
		for id, x := range numbers {
			if !finite(x) {
				return nil, fmt.Errorf("number %v", x)
			}
			of[id] = float32(clip((x - v.Shift) * v.Scale))
		}
		if fold == 0 {
			e.numbers = of
		} else {
			e.held = append(e.held, of)
		}
	}
	return e, nil
}

// valued encodes a category as one number slot.
type valued struct {
	ids     *oneHot
	numbers []float32   // by id
	held    [][]float32 // by fold
}

// AddTo implements Encoding.
func (e *valued) AddTo(s *kernel.Shape) {
	s.Numbers++
	s.NumberNames = append(s.NumberNames, e.ids.name)
}

// Encode implements Encoding.
func (e *valued) Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error {
	m.scratch = slices.Grow(m.scratch[:0], a.Len())[:a.Len()]
	if err := e.ids.Encode(a, Slots{Categories: [][]uint32{m.scratch}}, m, n); err != nil {
		return err
	}
	dst := out.Numbers[0]
	for i, id := range m.scratch {
		dst[i] = e.numbers[id]
	}
	if len(e.held) > 0 {
		for i, hash := range m.held {
			if hash != 0 {
				dst[i] = e.held[hash%uint64(len(e.held))][m.scratch[i]]
			}
		}
	}
	return nil
}
