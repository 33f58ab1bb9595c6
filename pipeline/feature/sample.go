package feature

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// sampleSize is how many values a sample has: their ranks are known to half a
// percent, which is the width of one of 255 bins.
const sampleSize = 1 << 14

// Sample is values of training rows drawn without regard to them: those whose
// rows have the smallest hashes. It is all values where they are few. The sample of
// several shards is the same in whatever order they are merged.
type Sample struct {
	Hashes []uint64  `json:"hashes"` // ascending
	Values []float64 `json:"values"`
}

// drawn is one value of a sample.
type drawn struct {
	hash  uint64
	value float64
}

func (d drawn) compare(o drawn) int {
	return cmp.Or(cmp.Compare(d.hash, o.hash), cmp.Compare(d.value, o.value))
}

// sampler draws a sample.
type sampler struct {
	drawn []drawn
	below uint64 // hashes from here on are not drawn
}

func newSampler() *sampler { return &sampler{below: math.MaxUint64} }

// observe draws from the rows of a that use marks; rows are their numbers.
func (s *sampler) observe(what string, a arrow.Array, rows []int64, use table.Mask) error {
	valid := table.Valid(a)
	valid.And(use)
	switch a := a.(type) {
	case *array.Int64:
		draw(s, a.Int64Values(), rows, valid)
	case *array.Float64:
		draw(s, a.Float64Values(), rows, valid)
	case *array.Boolean:
		draw(s, table.Indicators(a), rows, valid)
	default:
		return unreadable(what, a)
	}
	return nil
}

func draw[T int64 | float64](s *sampler, values []T, rows []int64, use table.Mask) {
	for w, word := range use.Words {
		for ; word != 0; word &= word - 1 {
			i := w*64 + bits.TrailingZeros64(word)
			x := float64(values[i])
			if !finite(x) {
				continue
			}
			hash := kernel.Mix(uint64(rows[i])*kernel.Golden ^ math.Float64bits(x))
			if hash >= s.below {
				continue
			}
			s.drawn = append(s.drawn, drawn{hash, x})
			if len(s.drawn) == 2*sampleSize {
				s.drawn = smallest(s.drawn)
				s.below = s.drawn[sampleSize-1].hash
			}
		}
	}
}

// smallest sorts what was drawn and cuts it to the size of a sample.
func smallest(all []drawn) []drawn {
	slices.SortFunc(all, drawn.compare)
	return all[:min(len(all), sampleSize)]
}

func sampleOf(all []drawn) *Sample {
	all = smallest(all)
	s := &Sample{Hashes: make([]uint64, len(all)), Values: make([]float64, len(all))}
	for i, d := range all {
		s.Hashes[i], s.Values[i] = d.hash, d.value
	}
	return s
}

// sample returns what was drawn so far.
func (s *sampler) sample() *Sample { return sampleOf(slices.Clone(s.drawn)) }

// merge adds the values of o.
func (s *Sample) merge(o *Sample) {
	var all []drawn
	for _, part := range []*Sample{s, o} {
		for i, h := range part.Hashes {
			all = append(all, drawn{h, part.Values[i]})
		}
	}
	*s = *sampleOf(all)
}

// check reports a sample that was not drawn by a sampler.
func (s *Sample) check() error {
	if s == nil || len(s.Hashes) != len(s.Values) || len(s.Hashes) > sampleSize || !slices.IsSorted(s.Hashes) {
		return fmt.Errorf("no sample")
	}
	for _, x := range s.Values {
		if !finite(x) {
			return fmt.Errorf("a sample with %v", x)
		}
	}
	return nil
}
