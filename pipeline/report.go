package pipeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/summary"
)

// Report counts what the operators did. The zero Report is ready to use.
type Report struct {
	// RowsIn and RowsOut count the rows that entered the first operator and left
	// the last.
	RowsIn, RowsOut int64
	// Changed counts values changed, by step ("1 trim origin").
	Changed map[string]int64
	// Dropped counts rows removed, by reason ("3 filter: delay != null").
	Dropped map[string]int64
	// Filled, Clipped and Unknown count values by feature: missing ones that got
	// the fill, numbers cut to the finite range of a slot, and category values
	// that training gave no id.
	Filled, Clipped, Unknown map[string]int64
	// Unmatched counts rows that a step found no row of a table for, by step and table.
	Unmatched map[string]int64 `json:",omitempty"`
	// Repeated counts rows beyond the first of each that a step has repeated, by step, and
	// Balanced the training rows that it has left of each value.
	Repeated map[string]int64 `json:",omitempty"`
	Balanced map[string]int64 `json:",omitempty"`
	// Tested counts the rows that data tests looked at, and Tests has what each found, by
	// name.
	Tested int64                  `json:",omitempty"`
	Tests  map[string]*TestReport `json:",omitempty"`
	// Seen is the values of columns whose distribution tests look at.
	Seen map[string]*summary.Distribution `json:",omitempty"`
	// Removed names the rows removed, kept only where KeepRemoved is set (the
	// scoring phase, where each becomes a dead letter).
	Removed     []Removal
	KeepRemoved bool
	// Rejected counts the rows that could not be read, which are in no other count;
	// BadRows are the first of them.
	Rejected int64    `json:",omitempty"`
	BadRows  []BadRow `json:",omitempty"`
}

// Removal is one row that an operator removed.
type Removal struct {
	Row    int64 // its value in RowColumn
	Stage  string
	Reason string
}

// TestReport is what one data test found.
type TestReport struct {
	Failed int64
	// Rows are the first failing rows, where a run keeps them.
	Rows []FailedRow `json:",omitempty"`
}

// FailedRow is a row that fails a data test: its place in the training data, and its
// cleaned values as a JSON object.
type FailedRow struct {
	Object   string          `json:"object"`
	RowGroup int             `json:"row_group"`
	Row      int64           `json:"row"`
	Values   json.RawMessage `json:"values"`
}

// Fail counts n rows that fail a data test, and keeps some.
func (r *Report) Fail(test string, n int64, rows ...FailedRow) {
	if n == 0 {
		return
	}
	if r.Tests == nil {
		r.Tests = make(map[string]*TestReport)
	}
	if r.Tests[test] == nil {
		r.Tests[test] = new(TestReport)
	}
	of := r.Tests[test]
	of.Failed += n
	of.Rows = append(of.Rows, rows...)
}

// Saw returns the distribution of a column's values, which begin makes where there is none
// yet.
func (r *Report) Saw(column string, begin func() *summary.Distribution) *summary.Distribution {
	if r.Seen == nil {
		r.Seen = make(map[string]*summary.Distribution)
	}
	if r.Seen[column] == nil {
		r.Seen[column] = begin()
	}
	return r.Seen[column]
}

// Change counts n changed values of a step.
func (r *Report) Change(step string, n int64) { count(&r.Changed, step, n) }

// Fill counts n missing values of a feature that got its fill.
func (r *Report) Fill(feature string, n int64) { count(&r.Filled, feature, n) }

// Clip counts n values of a feature that were cut to the range of a slot.
func (r *Report) Clip(feature string, n int64) { count(&r.Clipped, feature, n) }

// NotKnown counts n values of a category feature that have no id of their own.
func (r *Report) NotKnown(feature string, n int64) { count(&r.Unknown, feature, n) }

// NotDrawn counts n rows that a sample left out before they were cleaned.
func (r *Report) NotDrawn(n int64) {
	r.RowsIn += n
	count(&r.Dropped, "sample_ratio: not drawn", n)
}

// NotMatched counts n rows that a step found no row of a table for.
func (r *Report) NotMatched(step string, n int64) { count(&r.Unmatched, step, n) }

// Repeat counts n rows beyond the first of each that a step has repeated.
func (r *Report) Repeat(step string, n int64) { count(&r.Repeated, step, n) }

// Balance counts n training rows that balancing leaves of a value.
func (r *Report) Balance(value string, n int64) {
	count(&r.Balanced, strings.Clone(value), n) // its memory may be of a batch
}

func count(counts *map[string]int64, key string, n int64) {
	if n == 0 {
		return
	}
	if *counts == nil {
		*counts = make(map[string]int64)
	}
	(*counts)[key] += n
}

// DropRows counts removed rows, given by their values in RowColumn, all for
// one reason, and names them where asked to.
func (r *Report) DropRows(rows []int64, stage, reason string) {
	count(&r.Dropped, reason, int64(len(rows)))
	if r.KeepRemoved {
		for _, row := range rows {
			r.Removed = append(r.Removed, Removal{Row: row, Stage: stage, Reason: reason})
		}
	}
}

// Merge adds other to r.
func (r *Report) Merge(other *Report) {
	r.RowsIn += other.RowsIn
	r.RowsOut += other.RowsOut
	for _, m := range []struct {
		into *map[string]int64
		from map[string]int64
	}{
		{&r.Changed, other.Changed}, {&r.Dropped, other.Dropped}, {&r.Filled, other.Filled},
		{&r.Clipped, other.Clipped}, {&r.Unknown, other.Unknown}, {&r.Unmatched, other.Unmatched},
		{&r.Repeated, other.Repeated}, {&r.Balanced, other.Balanced},
	} {
		for k, n := range m.from {
			count(m.into, k, n)
		}
	}
	r.Tested += other.Tested
	for test, of := range other.Tests {
		r.Fail(test, of.Failed, of.Rows...)
	}
	for column, d := range other.Seen {
		if of := r.Seen[column]; of != nil {
			of.Merge(d)
		} else {
			r.Saw(column, d.Clone)
		}
	}
	r.Removed = append(r.Removed, other.Removed...)
	r.Rejected += other.Rejected
	r.BadRows = append(r.BadRows, other.BadRows[:min(len(other.BadRows), maxBadRows-len(r.BadRows))]...)
}

// RowFormat is the options of a format of datasets of which single rows can be bad.
type RowFormat interface{ Rejects() }

// OnBadRow is a word, or a mapping with its options.
type OnBadRow struct {
	// Type is fail or reject.
	Type string `yaml:"type,omitempty" json:"type,omitempty" jsonschema:"enum=fail,enum=reject"`
	// MaxRate is the share of rejected rows above which a run fails. Default 0.1%: a
	// dialect that is not the files' rejects far more.
	MaxRate Percent `yaml:"max_rate,omitempty" json:"max_rate,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100" default:"0.1%"`
}

// OnBadShard is a word, or a mapping with its options.
type OnBadShard struct {
	// Type is fail or skip.
	Type string `yaml:"type,omitempty" json:"type,omitempty" jsonschema:"enum=fail,enum=skip"`
	// MaxSkipped is how many shards may be left out, of which a file that cannot be opened
	// counts as one; a run with more fails. Default 1: what is wrong with several files is
	// often wrong with all.
	MaxSkipped int `yaml:"max_skipped,omitempty" json:"max_skipped,omitempty" jsonschema:"minimum=1" default:"1"`
}

const rejectRows = "reject"

// Rejects reports whether bad rows are left out.
func (o OnBadRow) Rejects() bool { return o.Type == rejectRows }

// Exceeded reports whether so many rejected rows beside others are too many.
func (o OnBadRow) Exceeded(rejected, read int64) bool {
	return float64(rejected)/float64(read+rejected) > o.MaxRate.Share() // 29 of 100 are 29%
}

// HasDefaults implements Conditional.
func (o *OnBadRow) HasDefaults() bool { return o.Rejects() }

// decodeShort implements shortForm: the type.
func (o *OnBadRow) decodeShort(d *decoder, n ast.Node, path string) bool {
	return decodeType(d, n, path, &o.Type)
}

// Check implements Checker.
func (o *OnBadRow) Check(at Place) {
	if o.Type == "fail" { // as if nothing were written, so that no version depends on it
		o.Type = ""
	}
	if !o.Rejects() && o.MaxRate != 0 {
		at.Problem("max_rate", "", "it needs type: reject")
	}
}

const skipShards = "skip"

// Skips reports whether bad shards are left out.
func (o OnBadShard) Skips() bool { return o.Type == skipShards }

// HasDefaults implements Conditional.
func (o *OnBadShard) HasDefaults() bool { return o.Skips() }

// decodeShort implements shortForm: the type.
func (o *OnBadShard) decodeShort(d *decoder, n ast.Node, path string) bool {
	return decodeType(d, n, path, &o.Type)
}

// Check implements Checker.
func (o *OnBadShard) Check(at Place) {
	if o.Type == "fail" { // as if nothing were written, so that no version depends on it
		o.Type = ""
	}
	if !o.Skips() && o.MaxSkipped != 0 {
		at.Problem("max_skipped", "", "it needs type: skip")
	}
}

// decodeType decodes a word that stands for a mapping with that type.
func decodeType(d *decoder, n ast.Node, path string, into *string) bool {
	if isMapping(n) || isNull(n) {
		return false
	}
	d.value(n, path+".type", reflect.ValueOf(into).Elem())
	return true
}

// BadRow is a row that cannot be read, and where it is.
type BadRow struct {
	Object string `json:"object"`
	Line   int64  `json:"line"`
	// Number is that of the row in the object, from 0.
	Number int64 `json:"-"`
	// Offset is the byte of the object that the row begins with, or of its text where
	// that is compressed or no superset of ASCII.
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	// Row is the row, or its beginning; where columns have pii, it is empty, and Shapes
	// has the columns that could be read, masked.
	Row    string            `json:"row"`
	Shapes map[string]string `json:"masked,omitempty"`
	// Lines are those of what cannot be told from this row: of a quote that is not closed.
	Lines int64 `json:"lines,omitempty"`
}

// Place names where the row is.
func (b *BadRow) Place() string {
	return fmt.Sprintf("object %s, line %d, byte %d", b.Object, b.Line, b.Offset)
}

const (
	// maxShardBadRows bounds the rows of a shard that a report keeps, and maxBadRows those
	// of all.
	maxShardBadRows = 100
	maxBadRows      = 10_000
)

// Reject counts a row that was left out since it cannot be read, each line of it that may
// be one, and keeps the first.
func (r *Report) Reject(row BadRow) {
	if r.Rejected += max(1, row.Lines); len(r.BadRows) < maxShardBadRows {
		r.BadRows = append(r.BadRows, row)
	}
}
