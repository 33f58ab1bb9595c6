// Package monitor holds what a version scores against what it was evaluated on: a reference
// that evaluation leaves, counts of scored rows in its bins by windows of time, and what these
// windows come to. Counts of parts of the rows add up to those of all, whatever the parts: they
// do not depend on batches, partitions or workers.
package monitor

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// MaxReferenceBytes bounds a reference that is decoded: some kilobytes for each of ten thousand
// features.
const MaxReferenceBytes = 64 << 20

const (
	// mostRows is about how many rows a reference is made of at most: of so many, a share of one
	// in a hundred is known to a thirtieth of itself. leastRows are enough to judge by.
	mostRows  = 1 << 17
	leastRows = 1 << 11
	// mostValues bounds the values of all features that are looked at: each may be of some 40
	// bytes in what shards find.
	mostValues = 1 << 21
)

// Reference is the values and scores of the rows that a version was evaluated on, in bins. It
// does not change.
type Reference struct {
	// Rows are those that were counted.
	Rows int64 `json:"rows"`
	// Features are those of the version, in its order.
	Features []FeatureReference `json:"features"`
	// Slices are the largest of evaluation.slices.
	Slices []SliceReference `json:"slices,omitempty"`
	// Score is the probability of true, the number or, of a category, which class is the
	// likeliest, counted from 0.
	Score *drift.Reference `json:"score"`
}

// FeatureReference is one feature's.
type FeatureReference struct {
	Name   string           `json:"name"`
	Values *drift.Reference `json:"values"`
	// Clock: it is computed from timestamps alone, so that its values in a short window are
	// others than those of the reference whatever happens.
	Clock bool `json:"clock,omitempty"`
}

// Seen is what a Reference is made of. Those of parts of the rows can be merged.
type Seen struct {
	Features []*summary.Distribution `json:"features"`
	Score    *summary.Distribution   `json:"score"`
	// Slices are by the ways of evaluation.slices.
	Slices []seenSlices `json:"slices,omitempty"`
	plan   *pipeline.Plan
}

// NewSeen returns what has seen no row yet.
func NewSeen(plan *pipeline.Plan) *Seen {
	s := &Seen{plan: plan, Score: summary.NewNumbers(), Slices: make([]seenSlices, len(waysOf(plan)))}
	for _, f := range plan.Features {
		if kindOf(f) == numbers {
			s.Features = append(s.Features, summary.NewNumbers())
		} else {
			s.Features = append(s.Features, summary.NewTexts())
		}
	}
	return s
}

// kind is how the values of a feature are told apart.
type kind int

const (
	numbers  kind = iota
	texts         // a category: each value
	presence      // a list, a set, a free text: whether there is one
)

func kindOf(f pipeline.Feature) kind {
	switch f.Type {
	case "number":
		return numbers
	case "category":
		return texts
	}
	return presence
}

// present is what a value is counted as of which only counts that it is there.
const present = "present"

// observe adds some rows of a batch.
func (s *Seen) observe(t *feature.Transform, batch arrow.Record, which []int) error {
	for i, f := range s.plan.Features {
		values, err := t.Values(i, batch)
		if err != nil {
			return err
		}
		err = observe(s.Features[i], f, values, which)
		values.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func observe(d *summary.Distribution, f pipeline.Feature, values arrow.Array, which []int) error {
	if kindOf(f) == numbers {
		number, err := numberOf(f, values)
		if err != nil {
			return err
		}
		for _, row := range which {
			if values.IsNull(row) {
				d.Missing++
			} else {
				d.AddNumber(number(row))
			}
		}
		return nil
	}
	text, err := textOf(f, values, func(text string) string { return text })
	if err != nil {
		return err
	}
	counts := make(map[string]int64)
	for _, row := range which {
		if values.IsNull(row) {
			d.Missing++
		} else {
			counts[text(row)]++
		}
	}
	for text, n := range counts {
		d.AddText(text, n)
	}
	return nil
}

// numberOf returns what the numbers of rows are that are not null.
func numberOf(f pipeline.Feature, values arrow.Array) (func(row int) float64, error) {
	switch a := values.(type) {
	case *array.Int64:
		return func(row int) float64 { return float64(a.Value(row)) }, nil
	case *array.Float64:
		return a.Value, nil
	case *array.Boolean:
		of := table.Indicators(a)
		return func(row int) float64 { return float64(of[row]) }, nil
	}
	return nil, unreadable(f)
}

// textOf returns what becomes of the texts of rows that are not null.
func textOf[T any](f pipeline.Feature, values arrow.Array, of func(string) T) (func(row int) T, error) {
	if kindOf(f) == presence {
		there := of(present)
		return func(int) T { return there }, nil
	}
	if text := table.Resolver(values, of, table.ByText(of)); text != nil {
		return text, nil
	}
	return nil, unreadable(f)
}

func unreadable(f pipeline.Feature) error {
	return &thalweg.Error{Op: "count values", Kind: thalweg.Invalid, Subject: "feature " + f.Name, Err: fmt.Errorf("its values cannot be counted")}
}

// Sample sees some rows.
type Sample struct {
	*Seen
	transform *feature.Transform
	answer    pipeline.Answer
	outputs   int
	oneIn     uint64
	hash      func(row int64) uint64
	which     []int
}

// NewSample returns what sees some of so many rows, those that the hash of their number chooses,
// with the predictions of a model that has so many outputs.
func NewSample(plan *pipeline.Plan, t *feature.Transform, answer pipeline.Answer, outputs int, rows int64, hash func(row int64) uint64) *Sample {
	some := min(mostRows, max(leastRows, mostValues/max(1, len(plan.Features))))
	return &Sample{Seen: NewSeen(plan), transform: t, answer: answer, outputs: outputs, oneIn: uint64(max(1, rows/int64(some))), hash: hash}
}

// Observe adds the chosen ones of those rows of a batch that are wanted.
func (s *Sample) Observe(rows arrow.Record, wanted func(row int) bool, predictions []float32) error {
	s.which = s.which[:0]
	for row, number := range table.Rows(rows) {
		// Mixed again: the hash itself says which part of other samples a row is in.
		if wanted(row) && kernel.Mix(s.hash(number)^kernel.Golden)%s.oneIn == 0 {
			s.which = append(s.which, row)
		}
	}
	score := func(row int) float64 { return Score(&s.answer, predictions[row*s.outputs:(row+1)*s.outputs]) }
	for _, row := range s.which {
		s.Score.AddNumber(score(row))
	}
	for i, way := range waysOf(s.plan) {
		slice, err := namer(way, rows)
		if err != nil {
			return err
		}
		for _, row := range s.which {
			if name := slice(row); name != "" {
				s.Slices[i].add(name, score(row))
			}
		}
	}
	return s.observe(s.transform, rows, s.which)
}

// Score returns the number that a prediction is counted as.
func Score(answer *pipeline.Answer, prediction []float32) float64 {
	switch {
	case len(answer.Levels) > 0:
		return float64(prediction[answer.Middle()])
	case len(answer.Classes) > 0:
		best := 0
		for k, p := range prediction {
			if p > prediction[best] {
				best = k
			}
		}
		return float64(best)
	}
	return float64(prediction[0])
}

// Merge adds what other rows were, of the same plan.
func (s *Seen) Merge(o *Seen) error {
	if o == nil {
		return nil
	}
	if len(o.Features) != len(s.Features) || len(o.Slices) != len(s.Slices) || o.Score == nil || slices.Contains(o.Features, nil) {
		return fmt.Errorf("what was seen of %d features, not of %d", len(o.Features), len(s.Features))
	}
	s.Score.Merge(o.Score)
	for i, d := range o.Features {
		if (d.Numbers == nil) != (s.Features[i].Numbers == nil) {
			return fmt.Errorf("feature %s is seen as numbers and as texts", s.plan.Features[i].Name)
		}
		s.Features[i].Merge(d)
	}
	for i := range o.Slices {
		if err := s.Slices[i].merge(o.Slices[i]); err != nil {
			return err
		}
	}
	return nil
}

// Reference returns the reference; nil where nothing was seen.
func (s *Seen) Reference() *Reference {
	if s.Score.Rows() == 0 {
		return nil
	}
	r := &Reference{Rows: s.Score.Rows(), Score: drift.New(s.Score)}
	for _, of := range s.Slices {
		r.Slices = append(r.Slices, of.references()...)
	}
	for i, f := range s.plan.Features {
		r.Features = append(r.Features, FeatureReference{f.Name, drift.New(s.Features[i]), isClock(s.plan, f)})
	}
	return r
}

// isClock reports whether a feature is computed from timestamps alone.
func isClock(plan *pipeline.Plan, f pipeline.Feature) bool {
	if f.Expression == nil {
		return false
	}
	reads := f.Expression.Columns()
	return len(reads) > 0 && !slices.ContainsFunc(reads, func(name string) bool {
		_, c, ok := plan.ScoringCleaned.Lookup(name)
		return !ok || c.Type != table.Timestamp
	})
}

// Decode reads a reference of a plan.
func Decode(plan *pipeline.Plan, data []byte) (*Reference, error) {
	fail := func(err error) (*Reference, error) {
		return nil, &thalweg.Error{Op: "decode reference", Kind: thalweg.Corrupt, Subject: ObjectName, Err: err}
	}
	r := new(Reference)
	if len(data) > MaxReferenceBytes {
		return fail(fmt.Errorf("%d bytes", len(data)))
	}
	if err := thalweg.DecodeStrict(data, r); err != nil {
		return fail(err)
	}
	if len(r.Features) != len(plan.Features) || r.Score == nil || !r.Score.Numeric() {
		return fail(fmt.Errorf("it has %d features, not %d, or no scores", len(r.Features), len(plan.Features)))
	}
	if err := r.Score.Check(); err != nil {
		return fail(fmt.Errorf("scores: %w", err))
	}
	for _, of := range r.Slices {
		if of.Score == nil || !of.Score.Numeric() {
			return fail(fmt.Errorf("slice %q has no scores", of.Name))
		}
		if err := of.Score.Check(); err != nil {
			return fail(fmt.Errorf("slice %q: %w", of.Name, err))
		}
	}
	for i, f := range plan.Features {
		have := r.Features[i]
		if have.Name != f.Name || have.Values == nil || have.Values.Numeric() != (kindOf(f) == numbers) {
			return fail(fmt.Errorf("feature %s is not the version's %s", have.Name, f.Name))
		}
		if err := have.Values.Check(); err != nil {
			return fail(fmt.Errorf("feature %s: %w", f.Name, err))
		}
	}
	return r, nil
}

// ObjectName is the name of a reference beside the checkpoint that it is of.
const ObjectName = "monitoring.json"
