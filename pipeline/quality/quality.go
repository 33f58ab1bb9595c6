// Package quality carries out the data tests of a plan: what can be asked of rows, one
// thing a file, all of them listed in catalog.go, and how cleaned rows are tested, in
// training and in scoring by the same conditions.
//
// A row fails a test where its condition is false. Null is not false: a condition of a
// missing value is null, unless it asks for null.
package quality

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// stageTest is where an event is removed by a test.
const stageTest = "test"

// Tests are the data tests of a plan that apply in one phase. They are immutable, and may
// be used from several goroutines.
type Tests struct {
	tests []test
	bytes int // that the stored rows of one test may have
}

type test struct {
	*pipeline.PlannedTest
	condition pipeline.Condition // nil: it looks at no single row
}

// New returns the tests of a phase, nil where there are none.
func New(plan *pipeline.Plan, phase pipeline.Phase) *Tests {
	t := new(Tests)
	storing := 0
	for i := range plan.Tests {
		planned := &plan.Tests[i]
		if condition := planned.In(phase); condition != nil || (planned.Count() != nil || planned.Key != nil || planned.Whole()) && phase == pipeline.InTraining {
			t.tests = append(t.tests, test{planned, condition})
			storing += min(1, planned.Spec.Stored())
		}
	}
	if len(t.tests) == 0 {
		return nil
	}
	t.bytes = maxStoredBytes / max(1, storing)
	return t
}

// Severities returns the severity of each test by its name. t may be nil.
func (t *Tests) Severities() map[string]string {
	if t == nil {
		return nil
	}
	out := make(map[string]string, len(t.tests))
	for i := range t.tests {
		out[t.tests[i].Name] = t.tests[i].Spec.Severity
	}
	return out
}

// Removed returns the test of which a row removed by Remove tells as the reason.
func Removed(stage, reason string, among map[string]string) (test string, ok bool) {
	if stage != stageTest {
		return "", false
	}
	for name := range among {
		if strings.HasPrefix(reason, "test "+name+": ") && len(name) > len(test) {
			test = name
		}
	}
	return test, test != ""
}

// failing marks the rows of a batch that fail.
func (t *test) failing(batch arrow.Record) (table.Mask, error) {
	verdict, err := t.evaluate(batch)
	if err != nil {
		return table.Mask{}, &thalweg.Error{Op: "test rows", Kind: thalweg.KindOf(err), Subject: "test " + t.Name, Err: err}
	}
	defer verdict.Release()
	b, ok := verdict.(*array.Boolean)
	if !ok {
		return table.Mask{}, fmt.Errorf("test %s yielded %s, not bool", t.Name, verdict.DataType())
	}
	failing := table.True(b).Not()
	failing.And(table.Valid(b))
	return failing, nil
}

func (t *test) evaluate(batch arrow.Record) (arrow.Array, error) {
	at := batch.Schema().FieldIndices(t.Spec.Column)
	if len(at) == 0 {
		return nil, &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + t.Spec.Column, Err: fmt.Errorf("is not there")}
	}
	type column struct {
		arrow.Field
		arrow.Array
	}
	all := make([]column, batch.NumCols())
	for i := range all {
		all[i] = column{batch.Schema().Field(i), batch.Column(i)}
	}
	value := all[at[0]]
	value.Name = "value"
	all = pipeline.WithValue(all, func(c column) string { return c.Name }, value)
	fields, columns := make([]arrow.Field, len(all)), make([]arrow.Array, len(all))
	for i, c := range all {
		fields[i], columns[i] = c.Field, c.Array
	}
	rec := array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows())
	defer rec.Release()
	return t.condition.Eval(rec)
}

// Remove takes the rows that fail a test of severity error out of a cleaned batch, names
// them in rep, each by the first such test, and counts there the rows that fail one of
// severity warn. The batch stays the caller's, as does the result. t may be nil.
func (t *Tests) Remove(mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	if t == nil {
		batch.Retain()
		return batch, nil
	}
	left := table.NewMask(int(batch.NumRows())).Not()
	for i := range t.tests {
		of := &t.tests[i]
		failing, err := of.failing(batch)
		if err != nil {
			return nil, err
		}
		if !of.Spec.Fails() {
			rep.Fail(of.Name, int64(failing.Count()))
			continue
		}
		if failing.And(left); failing.Count() > 0 {
			rep.DropRows(table.RowNumbers(nil, batch, failing), stageTest, "test "+of.Name+": "+of.rule())
			left.And(failing.Not())
		}
	}
	rep.RowsOut -= int64(left.Rows - left.Count())
	return table.Select(mem, batch, left)
}

// literal is a value of a spec as expressions write it.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
