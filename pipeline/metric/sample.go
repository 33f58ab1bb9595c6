package metric

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Parts is how many parts the rows of a sample are cut into by their hash. How much
// a metric changes when each part in turn is left out says how exact it is (the
// delete-a-group jackknife).
const Parts = 32

const (
	// partShift makes the bins of a part's histogram so coarse that all of them are
	// small: 16 in each power of two. They bear on the width of an interval only.
	partShift = 6
	// sliceShift is that of a slice: 64 in each power of two.
	sliceShift = 4
)

// Part returns the part of a row.
func Part(seed uint64, shard int, row int64) uint8 { return uint8(RowHash(seed, shard, row) >> 59) }

// RowHash is a hash of which row of the training data one is.
func RowHash(seed uint64, shard int, row int64) uint64 {
	id := kernel.Mix(kernel.Mix(uint64(shard)+kernel.Golden) + uint64(row))
	return kernel.Mix(id ^ kernel.Mix(seed^kernel.Golden))
}

// Sample is the sums of a set of rows, and those of its parts. It is not safe for
// concurrent use.
type Sample struct {
	catalog []pipeline.Entry
	answer  pipeline.Answer
	coarse  bool
	whole   Accumulator
	parts   [Parts]Accumulator
	// Memory of Observe.
	predictions, labels [Parts][]float32
}

// NewSample returns an empty sample; its arguments are those of New. A coarse one,
// for slices, has a small histogram: rows count as ties whose probabilities differ
// by less than 1/64 of their distance from the nearer of 0 and 1.
func NewSample(catalog []pipeline.Entry, answer pipeline.Answer, coarse bool) (*Sample, error) {
	s := &Sample{catalog: catalog, answer: answer, coarse: coarse}
	shift := 0
	if coarse {
		shift = sliceShift
	}
	var err error
	s.whole, err = s.empty(shift)
	for i := 0; i < Parts && err == nil; i++ {
		s.parts[i], err = s.empty(partShift)
	}
	return s, err
}

// empty returns an accumulator with a histogram, if it has one, that is coarser by
// shift. Where it is not, classes are counted by label and prediction.
func (s *Sample) empty(shift int) (Accumulator, error) {
	a, err := New(s.catalog, s.answer)
	switch a := a.(type) {
	case *binarySums:
		a.counts.shift = shift
	case *marginSums:
		a.counts.shift = shift
	case *classSums:
		if shift == 0 {
			a.pairs = newPairs(s.answer.Classes)
		}
	}
	return a, err
}

// Observe adds rows, each with its part. A row has so many predictions as the answer.
func (s *Sample) Observe(predictions, labels []float32, parts []uint8) {
	s.whole.Observe(predictions, labels)
	width := len(predictions) / max(1, len(labels))
	for i, part := range parts {
		s.predictions[part] = append(s.predictions[part], predictions[i*width:(i+1)*width]...)
		s.labels[part] = append(s.labels[part], labels[i])
	}
	for i, a := range s.parts {
		a.Observe(s.predictions[i], s.labels[i])
		s.predictions[i], s.labels[i] = s.predictions[i][:0], s.labels[i][:0]
	}
}

// Merge adds the rows that another sample of the same kind saw after this one's.
func (s *Sample) Merge(other *Sample) error {
	err := s.whole.Merge(other.whole)
	for i := 0; i < Parts && err == nil; i++ {
		err = s.parts[i].Merge(other.parts[i])
	}
	return err
}

// MergeJSON is Merge of what MarshalJSON of the other sample wrote.
func (s *Sample) MergeJSON(data []byte) error {
	other, err := NewSample(s.catalog, s.answer, s.coarse)
	if err == nil {
		err = json.Unmarshal(data, other)
	}
	if err != nil {
		return err
	}
	return s.Merge(other)
}

// Classes returns how many a category has.
func (s *Sample) Classes() int { return len(s.answer.Classes) }

// Whole returns the sums of all rows, which stay the sample's.
func (s *Sample) Whole() Accumulator { return s.whole }

type sampleJSON struct {
	Whole json.RawMessage         `json:"whole"`
	Parts map[int]json.RawMessage `json:"parts"` // that have rows
}

// MarshalJSON implements json.Marshaler.
func (s *Sample) MarshalJSON() (_ []byte, err error) {
	out := sampleJSON{Parts: map[int]json.RawMessage{}}
	if out.Whole, err = json.Marshal(s.whole); err != nil {
		return nil, err
	}
	for i, a := range s.parts {
		if a.Rows() > 0 {
			if out.Parts[i], err = json.Marshal(a); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON of a sample made with the same arguments
// wrote.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var in sampleJSON
	err := json.Unmarshal(data, &in)
	if err == nil {
		err = json.Unmarshal(in.Whole, s.whole)
	}
	rows := int64(0)
	for i := 0; i < Parts && err == nil; i++ {
		if part, ok := in.Parts[i]; ok {
			err = json.Unmarshal(part, s.parts[i])
		}
		rows += s.parts[i].Rows()
	}
	if err == nil && rows != s.whole.Rows() {
		err = fmt.Errorf("the parts have %d rows, the whole %d", rows, s.whole.Rows())
	}
	if err != nil {
		return &thalweg.Error{Op: "decode metrics", Kind: thalweg.Corrupt, Subject: "sample", Err: err}
	}
	return nil
}

// Estimate is a metric and the interval that has its true value for 95 of 100 sets of
// rows like this one; none where there are too few rows to tell.
type Estimate struct {
	Value    float64     `json:"value"`
	Interval *[2]float64 `json:"interval,omitempty"`
}

// String returns the value and half the width of its interval: 0.6812±0.0023.
func (e Estimate) String() string {
	switch {
	case e.Interval == nil && e.Value == math.Trunc(e.Value):
		return fmt.Sprintf("%.0f", e.Value) // rows
	case e.Interval == nil:
		return fmt.Sprintf("%.4g", e.Value)
	}
	return fmt.Sprintf("%.4f±%.4f", e.Value, (e.Interval[1]-e.Interval[0])/2)
}

// Estimates returns the metrics that are defined, by name.
func (s *Sample) Estimates() (map[string]Estimate, error) {
	without, err := s.without()
	if err != nil {
		return nil, err
	}
	out, known := make(map[string]Estimate), measures(s.catalog, s.answer.Type)
	for name, v := range s.whole.Values() {
		e := Estimate{Value: v}
		if m := known[name]; m != nil {
			e.Interval = m.interval(v, s.whole, without)
		}
		out[name] = e
	}
	return out, nil
}

// Change returns by how much the metrics of s are above those of before, which are of
// the same rows: the intervals are of the differences, which are more exact than
// either.
func (s *Sample) Change(before *Sample) (map[string]Estimate, error) {
	mine, err := s.without()
	if err != nil {
		return nil, err
	}
	theirs, err := before.without()
	if err != nil {
		return nil, err
	}
	values, out, known := before.whole.Values(), make(map[string]Estimate), measures(s.catalog, s.answer.Type)
	for name, v := range s.whole.Values() {
		m := known[name]
		then, both := values[name]
		if m == nil || !both || len(mine) != len(theirs) {
			continue
		}
		e := Estimate{Value: v - then}
		if a, ok := m.values(mine); ok {
			if b, ok := m.values(theirs); ok {
				for i := range a {
					a[i] -= b[i]
				}
				e.Interval = around(e.Value, a)
			}
		}
		out[name] = e
	}
	return out, nil
}

// without returns the sums of all parts but one, for each that has rows.
func (s *Sample) without() ([]Accumulator, error) {
	var parts []Accumulator
	for _, a := range s.parts {
		if a.Rows() > 0 {
			parts = append(parts, a)
		}
	}
	sums := make([]Accumulator, len(parts))
	for i := range sums {
		a, err := s.empty(partShift)
		if err != nil {
			return nil, err
		}
		for k, part := range parts {
			if k != i {
				if err := a.Merge(part); err != nil {
					return nil, err
				}
			}
		}
		sums[i] = a
	}
	return sums, nil
}

// interval returns the one around a metric's value: of shares of rows Wilson's, which
// is right even where all rows are alike.
func (m *Measure) interval(value float64, whole Accumulator, without []Accumulator) *[2]float64 {
	if m.Share != nil {
		_, of := m.Share(whole)
		around := interval.Wilson(value, of)
		return &around
	}
	values, ok := m.values(without)
	if !ok {
		return nil
	}
	out := around(value, values)
	if out != nil && (m.Least != 0 || m.Most != 0) {
		out[0], out[1] = max(out[0], m.Least), min(out[1], m.Most)
	}
	return out
}

// values returns the metric of each of some sums; ok is false unless all have it.
func (m *Measure) values(sums []Accumulator) (values []float64, ok bool) {
	for _, a := range sums {
		v, ok := math.NaN(), false
		if a.Rows() > 0 {
			v, ok = m.Value(a)
		}
		if !ok {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// around returns the interval around a value that the values without each part call
// for, by Student's quantile for as many parts. Two parts say too little.
func around(value float64, without []float64) *[2]float64 {
	n := float64(len(without))
	if n < 3 {
		return nil
	}
	var m Moments
	for _, v := range without {
		m.Add(v)
	}
	const z = interval.Z
	const z3, z5 = z * z * z, z * z * z * z * z
	t := z + (z3+z)/(4*(n-1)) + (5*z5+16*z3+3*z)/(96*(n-1)*(n-1))
	half := float64(t * math.Sqrt(m.Squares*(n-1)/n))
	return &[2]float64{value - half, value + half}
}
