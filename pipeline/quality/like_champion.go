package quality

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// LikeChampion holds the values of a column against those of the rows that the champion
// was trained on, in about ten bins that its training has fixed: the missing ones, deciles of
// numbers, or the most frequent texts. Each version of a pipeline with the test keeps such a
// reference. Where there is no champion yet, or it keeps none, the test passes and says so.
type LikeChampion struct {
	// Metric is how the distance is measured: psi, the population stability index, or
	// jensen_shannon, the divergence, from 0 to 1.
	Metric string `yaml:"metric,omitempty" json:"metric,omitempty" jsonschema:"enum=psi,enum=jensen_shannon" default:"psi"`
	// Warn is the distance above which there is a warning. Default 0.1 of psi, 0.02 of
	// jensen_shannon.
	Warn *float64 `yaml:"warn,omitempty" json:"warn,omitempty" jsonschema:"minimum=0"`
	// Error is the distance above which the run fails, where the severity is error. Default
	// 0.25 of psi, 0.05 of jensen_shannon.
	Error *float64 `yaml:"error,omitempty" json:"error,omitempty" jsonschema:"minimum=0"`
	// MinRows is how many rows both must have to be compared: few differ by chance.
	MinRows int `yaml:"min_rows,omitempty" json:"min_rows,omitempty" jsonschema:"minimum=1,maximum=1000000000" default:"1000"`
}

// Condition implements pipeline.TestSpec.
func (*LikeChampion) Condition() (text string, written bool) { return "", false }

// Distribution implements pipeline.DistributionSpec.
func (*LikeChampion) Distribution() {}

// Defaults implements pipeline.Defaulter.
func (l *LikeChampion) Defaults(pipeline.Place) {
	warn, fail := 0.1, 0.25
	if l.Metric == "jensen_shannon" {
		warn, fail = 0.02, 0.05
	}
	if l.Warn == nil {
		l.Warn = &warn
	}
	if l.Error == nil {
		l.Error = &fail
	}
}

// Check implements pipeline.Checker.
func (l *LikeChampion) Check(at pipeline.Place) {
	if l.Warn != nil && l.Error != nil && *l.Warn > *l.Error {
		at.Problem("warn", "warn earlier", "a run fails above %v anyway", *l.Error)
	}
}

// Champion is what is known of the version that the alias named when a run began.
type Champion struct {
	Version    uint64
	References map[string]*drift.Reference
	// Flaw says why it cannot be read.
	Flaw string
}

// compared is what a comparison came to: the distance, as people read it, or why there is none.
type compared struct {
	found, wrong string
	warns, fails bool
}

// judge holds the values of a column against those of the champion, nil where there is none.
func (l *LikeChampion) judge(column string, fails bool, seen *summary.Distribution, champion *Champion) (c compared) {
	if champion == nil {
		return compared{found: "no champion yet"}
	}
	of := champion.References[column]
	switch {
	case champion.Flaw != "":
		return compared{found: champion.Flaw}
	case of == nil:
		return compared{found: fmt.Sprintf("version %d keeps no reference of it", champion.Version)}
	case seen == nil || min(seen.Rows(), of.Rows) < int64(l.MinRows):
		var rows int64
		if seen != nil {
			rows = seen.Rows()
		}
		return compared{found: fmt.Sprintf("%s rows and %s of version %d are too few", humanize.Comma(rows), humanize.Comma(of.Rows), champion.Version)}
	}
	distance, err := of.Compare(seen)
	if err != nil {
		return compared{found: fmt.Sprintf("not compared with version %d: %v", champion.Version, err)}
	}
	value := distance.PSI
	if l.Metric == "jensen_shannon" {
		value = distance.JS
	}
	c.found = fmt.Sprintf("%s %.4g from version %d", l.Metric, value, champion.Version)
	c.warns, c.fails = value > *l.Warn, fails && value > *l.Error
	bound := fmt.Sprintf("warn is %v", *l.Warn)
	if c.fails {
		bound = fmt.Sprintf("error is %v", *l.Error)
	}
	c.wrong = fmt.Sprintf("the %s rows differ from the %s that version %d was trained on by a %s of %.4g: %s",
		humanize.Comma(seen.Rows()), humanize.Comma(of.Rows), champion.Version, l.Metric, value, bound)
	return c
}

// see counts the values of a column of a batch.
func see(rep *pipeline.Report, column string, batch arrow.Record) error {
	at := batch.Schema().FieldIndices(column)
	if len(at) == 0 {
		return &thalweg.Error{Op: "test rows", Kind: thalweg.Invalid, Subject: "column " + column, Err: fmt.Errorf("is not there")}
	}
	a := batch.Column(at[0])
	var number func(row int) float64
	switch a := a.(type) {
	case *array.Int64:
		number = func(row int) float64 { return float64(a.Value(row)) }
	case *array.Float64:
		number = a.Value
	}
	if number != nil {
		d := rep.Saw(column, summary.NewNumbers)
		for row := range a.Len() {
			if a.IsNull(row) {
				d.Missing++
			} else {
				d.AddNumber(number(row))
			}
		}
		return nil
	}
	same := func(text string) string { return text }
	text := table.Resolver(a, same, table.ByText(same))
	if text == nil {
		return &thalweg.Error{Op: "test rows", Kind: thalweg.Invalid, Subject: "column " + column, Err: fmt.Errorf("has no values that can be compared")}
	}
	d := rep.Saw(column, summary.NewTexts)
	counts := make(map[string]int64)
	for row := range a.Len() {
		if a.IsNull(row) {
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

// Compares reports whether a test compares rows with the champion's.
func (t *Tests) Compares() bool {
	if t != nil {
		for i := range t.tests {
			if t.tests[i].compares() != nil {
				return true
			}
		}
	}
	return false
}

// compares returns how the test compares rows with the champion's, nil where it does not.
func (t *test) compares() *LikeChampion {
	l, _ := t.Spec.Test.Options.(*LikeChampion)
	return l
}

// References are those of what tests have seen, for a version to keep.
func References(rep *pipeline.Report) map[string]*drift.Reference {
	out := make(map[string]*drift.Reference, len(rep.Seen))
	for column, d := range rep.Seen {
		out[column] = drift.New(d)
	}
	return out
}
