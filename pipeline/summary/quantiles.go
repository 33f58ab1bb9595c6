// Package summary summarises numbers in bounded memory, so that the outcome is the
// same bits in whatever order they come and however they are divided into parts
// that are merged.
package summary

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
)

// maxPoints is how many different values Quantiles tells apart.
const maxPoints = 1 << 15

// Quantiles counts values, each by itself while there are at most maxPoints
// different ones. Of more, those count as one that agree in their leading bits, as
// many of these as leave no more than maxPoints, and the least stands for all: it
// differs from them by about a thousandth, or, of values
// from all of the range of float64, by a few percent. The zero Quantiles is ready
// to use.
type Quantiles struct {
	// shift is how many low bits of the keys are not told apart: the least number that
	// leaves at most maxPoints, which depends on the values alone.
	shift uint
	slots []slot // a hash table of a power of two, at most half full
	used  int
	total int64
	// Most, if not 0, is a bound below maxPoints of the values that are told apart.
	Most int
}

func (q *Quantiles) most() int {
	if q.Most > 0 {
		return min(q.Most, maxPoints)
	}
	return maxPoints
}

// slot is values that count as one; free where there is none.
type slot struct {
	key   uint64 // OrderedBits of the least of them
	count int64
}

// OrderedBits returns bits that, as a whole number, order as float64 numbers do; the two
// zeros have the same. NaN is none of them.
func OrderedBits(x float64) uint64 {
	b := math.Float64bits(x + 0) // no -0
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// FromOrderedBits returns the number of OrderedBits.
func FromOrderedBits(b uint64) float64 {
	if b>>63 != 0 {
		return math.Float64frombits(b &^ (1 << 63))
	}
	return math.Float64frombits(^b)
}

func (s slot) value() float64 { return FromOrderedBits(s.key) }

// Add adds a finite value.
func (q *Quantiles) Add(x float64) { q.add(slot{OrderedBits(x), 1}) }

// AddCount adds a finite value n times, at least once.
func (q *Quantiles) AddCount(x float64, n int64) { q.add(slot{OrderedBits(x), n}) }

// Count returns the number of values.
func (q *Quantiles) Count() int64 { return q.total }

func (q *Quantiles) add(s slot) {
	q.total += s.count
	if 2*(q.used+1) > len(q.slots) {
		q.rebuild(max(2*len(q.slots), 64))
	}
	q.put(s)
	if q.used > q.most() {
		q.coarsen()
	}
}

// put counts s in the table, which has room.
func (q *Quantiles) put(s slot) {
	mask := uint64(len(q.slots) - 1)
	for i := (s.key >> q.shift * 0x9e3779b97f4a7c15) >> bits.LeadingZeros64(mask); ; i++ {
		at := &q.slots[i&mask]
		switch {
		case at.count == 0:
			*at = s
			q.used++
			return
		case at.key>>q.shift == s.key>>q.shift:
			at.key = min(at.key, s.key)
			at.count += s.count
			return
		}
	}
}

// rebuild counts everything anew in a table of another size, or by another shift.
func (q *Quantiles) rebuild(size int) {
	old := q.slots
	q.slots, q.used = make([]slot, size), 0
	for _, s := range old {
		if s.count > 0 {
			q.put(s)
		}
	}
}

// coarsen raises the shift as far as it must: mostly by one.
func (q *Quantiles) coarsen() {
	q.shift++
	if q.rebuild(len(q.slots)); q.used <= q.most() {
		return
	}
	points := q.points()
	for used := q.used; used > q.most(); {
		q.shift++
		used = 1
		for i, s := range points[1:] {
			if s.key>>q.shift != points[i].key>>q.shift {
				used++
			}
		}
	}
	q.rebuild(len(q.slots))
}

// points returns what is counted, in order.
func (q *Quantiles) points() []slot {
	out := make([]slot, 0, q.used)
	for _, s := range q.slots {
		if s.count > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b slot) int { return cmp.Compare(a.key, b.key) })
	return out
}

// Merge adds the values of o.
func (q *Quantiles) Merge(o *Quantiles) {
	if q.shift < o.shift {
		q.shift = o.shift
		q.rebuild(len(q.slots))
	}
	for _, s := range o.slots {
		if s.count > 0 {
			q.add(s)
		}
	}
}

// weighted is a value and how often it is there.
type weighted struct {
	value float64
	count int64
}

// At returns the quantile of a share from 0 to 1, between two values as NumPy
// interpolates; there is at least one value.
func (q *Quantiles) At(share float64) float64 {
	return at(share, q.total, q.weighted())
}

// AtAll returns the quantiles of several shares.
func (q *Quantiles) AtAll(shares ...float64) []float64 {
	all, out := q.weighted(), make([]float64, len(shares))
	for i, share := range shares {
		out[i] = at(share, q.total, all)
	}
	return out
}

// Points yields what counts as one, in order: the least value, and how many there are.
func (q *Quantiles) Points() iter.Seq2[float64, int64] {
	return func(yield func(float64, int64) bool) {
		for _, s := range q.points() {
			if !yield(s.value(), s.count) {
				return
			}
		}
	}
}

func (q *Quantiles) weighted() []weighted {
	points := q.points()
	out := make([]weighted, len(points))
	for i, s := range points {
		out[i] = weighted{s.value(), s.count}
	}
	return out
}

// MedianDeviation returns the median of how far values are from their median; there
// is at least one.
func (q *Quantiles) MedianDeviation() float64 {
	all := q.weighted()
	median := at(0.5, q.total, all)
	for i, w := range all {
		all[i].value = math.Min(math.Abs(w.value-median), math.MaxFloat64)
	}
	slices.SortFunc(all, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	return at(0.5, q.total, all)
}

// at returns a quantile of values in order, of which there are n.
func at(share float64, n int64, values []weighted) float64 {
	rank := float64(share * float64(n-1))
	whole := math.Floor(rank)
	part := rank - whole
	a := nth(int64(whole), values)
	if part == 0 {
		return a
	}
	b := nth(int64(whole)+1, values)
	switch difference := b - a; {
	case math.IsInf(difference, 0):
		return float64(a*(1-part)) + float64(b*part)
	case part >= 0.5:
		return b - float64(difference*(1-part))
	default:
		return a + float64(difference*part)
	}
}

// nth returns value n, counted from 0, or the last.
func nth(n int64, values []weighted) float64 {
	for _, w := range values {
		if n < w.count {
			return w.value
		}
		n -= w.count
	}
	return values[len(values)-1].value
}

// quantilesJSON has the points in order, each as two numbers in binary: how far its
// key is from the last, and its count.
type quantilesJSON struct {
	Shift  uint   `json:"shift"`
	Points []byte `json:"points"`
}

// MarshalJSON returns the same bytes for the same values in whatever order.
func (q *Quantiles) MarshalJSON() ([]byte, error) {
	out, last := quantilesJSON{Shift: q.shift}, uint64(0)
	for _, s := range q.points() {
		out.Points = binary.AppendUvarint(out.Points, s.key-last)
		out.Points = binary.AppendUvarint(out.Points, uint64(s.count))
		last = s.key
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (q *Quantiles) UnmarshalJSON(data []byte) error {
	var in quantilesJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Shift > 63 {
		return fmt.Errorf("a shift of %d", in.Shift)
	}
	*q = Quantiles{shift: in.Shift}
	for last, rest := uint64(0), in.Points; len(rest) > 0; {
		step, n := binary.Uvarint(rest)
		count, m := binary.Uvarint(rest[max(n, 0):])
		s := slot{last + step, int64(count)}
		if v := s.value(); n <= 0 || m <= 0 || s.count <= 0 || q.total > math.MaxInt64-s.count || v-v != 0 ||
			q.used > 0 && s.key>>q.shift <= last>>q.shift || q.used == maxPoints {
			return fmt.Errorf("points that no values have")
		}
		q.add(s)
		last, rest = s.key, rest[n+m:]
	}
	return nil
}
