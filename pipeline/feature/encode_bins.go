package feature

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Bins cuts a number into bins of about as many training rows each, and gives each
// bin an id. A missing value has id 0.
type Bins struct {
	// Count is how many bins there are at most. A number of fewer values has a bin for
	// each.
	Count int `yaml:"count,omitempty" json:"count,omitempty" jsonschema:"minimum=2,maximum=255" default:"255"`
}

// For implements pipeline.Typed.
func (*Bins) For() string { return numberType }

// Bins implements pipeline.Binner.
func (b *Bins) Bins() int { return b.Count }

// Binned is the data of a number that is cut into bins: a value's id is 1 and how
// many cuts are below it.
type Binned struct {
	Cuts []float64 `json:"cuts"`
	// Fill is what a missing value counts as; nil where it has id 0.
	Fill *float64 `json:"fill,omitempty"`
	// Statistics are of the training rows.
	Statistics Moments `json:"statistics"`
}

// Fit implements Encoder.
func (b *Bins) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	data := &Binned{Statistics: s.Number}
	if f.Imported != nil {
		data.Cuts = f.Imported.Cuts
	} else {
		data.Cuts = cuts(s.Sample.Values, b.Count)
	}
	if out.Missing != ownBin {
		fill, err := fillOf(f, s, out.Missing)
		if err != nil {
			return err
		}
		data.Fill = &fill
	}
	out.Bins = data
	return nil
}

// cuts returns where to cut values so that at most count bins hold about as many
// each: halfway between neighbours, so that equal values stay together.
func cuts(values []float64, count int) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	cuts := []float64{}
	begin := 0 // of the bin being filled
	for i := 1; i < len(sorted) && len(cuts) < count-1; i++ {
		if sorted[i] == sorted[i-1] {
			continue
		}
		// Those that are left are shared out among the bins that are left, unless each
		// value that is left can have its own.
		left := count - len(cuts)
		if share := (len(sorted) - begin) / left; i-begin < share && !fewer(sorted[begin:], left) {
			continue
		}
		cuts = append(cuts, between(sorted[i-1], sorted[i]))
		begin = i
	}
	return cuts
}

// fewer reports whether sorted values are at most n different ones.
func fewer(sorted []float64, n int) bool {
	for i := range sorted {
		if i == 0 || sorted[i] != sorted[i-1] {
			if n--; n < 0 {
				return false
			}
		}
	}
	return true
}

// between returns a number from a on and below b, halfway where there is one.
func between(a, b float64) float64 {
	if middle := float64(a/2) + float64(b/2); middle > a && middle < b {
		return middle
	}
	return a
}

// Load implements Encoder.
func (*Bins) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	b := data.Bins
	if b == nil {
		return nil, fmt.Errorf("no bins")
	}
	for i, c := range b.Cuts {
		if !finite(c) || i > 0 && c <= b.Cuts[i-1] {
			return nil, fmt.Errorf("cut %d is %v", i, c)
		}
	}
	e := &bins{name: f.Name, cuts: b.Cuts}
	if b.Fill != nil {
		if !finite(*b.Fill) {
			return nil, fmt.Errorf("the fill is %v", *b.Fill)
		}
		e.fill = e.id(*b.Fill)
	}
	return e, b.Statistics.check()
}

// bins encodes a number as one ordered category slot.
type bins struct {
	name string
	cuts []float64
	fill uint32
}

// AddTo implements Encoding.
func (e *bins) AddTo(s *kernel.Shape) {
	s.Ordered = append(slices.Clip(s.Ordered), len(s.Cardinalities))
	s.Cardinalities = append(s.Cardinalities, len(e.cuts)+2)
	s.CategoryNames = append(s.CategoryNames, e.name)
}

// id returns the bin of a finite value.
func (e *bins) id(x float64) uint32 {
	below, n := 0, len(e.cuts)
	for n > 0 { // without branches that depend on x
		half := n / 2
		if at := below + half; e.cuts[at] < x {
			below = at + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return uint32(below + 1)
}

// Of returns the id of a value.
func (b *Binned) Of(x float64) int { return int((&bins{cuts: b.Cuts}).id(x)) }

// Within returns a value of the bin with an id from 1 on.
func (b *Binned) Within(id int) float64 {
	switch n := len(b.Cuts); {
	case n == 0:
		return b.Statistics.Mean
	case id == 1:
		return b.Cuts[0]
	case id > n:
		return math.Nextafter(b.Cuts[n-1], math.Inf(1))
	}
	if middle := float64(b.Cuts[id-2]/2) + float64(b.Cuts[id-1]/2); middle > b.Cuts[id-2] {
		return middle
	}
	return b.Cuts[id-1]
}

// Encode implements Encoding.
func (e *bins) Encode(a arrow.Array, out Slots, _ *Memo, n *Tally) error {
	dst := out.Categories[0]
	switch a := a.(type) {
	case *array.Int64:
		encodeBins(e, a, a.Int64Values(), dst, n)
	case *array.Float64:
		encodeBins(e, a, a.Float64Values(), dst, n)
	case *array.Boolean:
		encodeBins(e, a, table.Indicators(a), dst, n)
	default:
		return unreadable("feature "+e.name, a)
	}
	return nil
}

func encodeBins[T int64 | float64](e *bins, a arrow.Array, values []T, dst []uint32, n *Tally) {
	var valid table.Mask
	nulls := a.NullN() > 0
	if nulls {
		valid = table.Valid(a)
	}
	dst = dst[:len(values)]
	for i, v := range values {
		x := float64(v)
		if !finite(x) || nulls && !valid.Has(i) {
			dst[i] = e.fill
			n.Filled++
			continue
		}
		dst[i] = e.id(x)
	}
}
