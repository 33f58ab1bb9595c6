package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

const (
	// maxSeenSlices bounds the slices of one way that are seen: those whose names have the
	// smallest hashes, so that it does not matter in which order rows come.
	maxSeenSlices = 512
	// mostSlices of one way are kept, the largest, which have leastSliceRows.
	mostSlices     = 20
	leastSliceRows = 100
	// maxSliceBytes bounds the name of a slice; rows whose values are longer are in none.
	maxSliceBytes = 256
)

// SliceReference is the scores of the rows that have the same values in some columns.
type SliceReference struct {
	// Name says which: origin=ATL, or origin=ATL, weekday=7.
	Name  string           `json:"name"`
	Score *drift.Reference `json:"score"`
}

// waysOf returns how the spec of a plan cuts rows into slices.
func waysOf(plan *pipeline.Plan) []pipeline.SliceSpec { return plan.Spec.Spec.Evaluation.Slices }

// seenSlices are the scores of slices by name.
type seenSlices map[string]*summary.Distribution

// add adds the score of a row of a slice.
func (s *seenSlices) add(name string, score float64) {
	d := (*s)[name]
	if d == nil {
		if *s == nil {
			*s = make(seenSlices)
		}
		d = summary.NewNumbers()
		(*s)[strings.Clone(name)] = d // its memory may be of a batch
		s.cutTo(2 * maxSeenSlices)
	}
	d.AddNumber(score)
}

// cutTo leaves the slices that are kept, once there are more than so many. One that comes back
// lacks rows, but is none that is kept in the end.
func (s seenSlices) cutTo(most int) {
	if len(s) <= most {
		return
	}
	names := slices.SortedFunc(maps.Keys(s), func(a, b string) int { return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(a, b)) })
	for _, name := range names[maxSeenSlices:] {
		delete(s, name)
	}
}

func rankOf(name string) uint64 { return murmur3.StringSum64(name) }

func (s *seenSlices) merge(o seenSlices) error {
	for name, d := range o {
		if d == nil || d.Numbers == nil {
			return fmt.Errorf("slice %q has no scores", name)
		}
		if *s == nil {
			*s = make(seenSlices)
		}
		if (*s)[name] == nil {
			(*s)[name] = summary.NewNumbers()
		}
		(*s)[name].Merge(d)
	}
	s.cutTo(2 * maxSeenSlices)
	return nil
}

// references returns those of the largest slices, by name.
func (s seenSlices) references() (out []SliceReference) {
	s.cutTo(maxSeenSlices)
	names := slices.SortedFunc(maps.Keys(s), func(a, b string) int { return cmp.Or(cmp.Compare(s[b].Rows(), s[a].Rows()), cmp.Compare(a, b)) })
	for _, name := range names[:min(len(names), mostSlices)] {
		if s[name].Rows() >= leastSliceRows {
			out = append(out, SliceReference{name, drift.New(s[name])})
		}
	}
	return out
}

// namer returns the name of the slice of a way that each row of a batch is in, "" for none.
func namer(way pipeline.SliceSpec, batch arrow.Record) (func(row int) string, error) {
	var columns []arrow.Array
	var texts []func(row int) string
	same := func(text string) string { return text }
	for _, name := range way.Columns {
		at := batch.Schema().FieldIndices(name)
		if len(at) != 1 {
			return nil, &thalweg.Error{Op: "count slices", Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf("is not there")}
		}
		a := batch.Column(at[0])
		text := table.Resolver(a, same, table.ByText(same))
		if text == nil {
			return nil, &thalweg.Error{Op: "count slices", Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf("has no values to cut rows by")}
		}
		columns, texts = append(columns, a), append(texts, text)
	}
	var b strings.Builder
	return func(row int) string {
		b.Reset()
		for i, a := range columns {
			if a.IsNull(row) {
				return ""
			}
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(way.Columns[i] + "=" + texts[i](row))
		}
		if b.Len() > maxSliceBytes {
			return ""
		}
		return b.String()
	}, nil
}
