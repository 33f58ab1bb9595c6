package clean

import (
	"fmt"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// columns is a schema from "name type" pairs.
func columns(pairs ...string) table.Schema {
	var s table.Schema
	for i := 0; i < len(pairs); i += 2 {
		s.Columns = append(s.Columns, table.Column{Name: pairs[i], Type: table.Type(pairs[i+1]), Nullable: true})
	}
	return s
}

// planOf compiles steps that apply in both phases.
func planOf(t testing.TB, in table.Schema, steps ...pipeline.CleanStep) *pipeline.Plan {
	t.Helper()
	p := &pipeline.Plan{Input: in, ScoringInput: in}
	for i, s := range steps {
		step := pipeline.Step{Spec: s, Applies: pipeline.Phases{Training: true, Scoring: true}}
		source := ""
		switch {
		case s.Filter != nil:
			source = s.Filter.Expression
		case s.Derive != nil:
			source = s.Derive.Expression
		}
		if source != "" {
			var err error
			if step.Expression, err = expression.Compile(source, in, time.UTC); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range catalog {
			if o.has(s) {
				step.Name = fmt.Sprintf("%d %s", i+1, o.name)
			}
		}
		p.Steps = append(p.Steps, step)
	}
	return p
}

// chainOf is a chain of steps in memory that the test checks for leaks.
func chainOf(t testing.TB, in table.Schema, steps ...pipeline.CleanStep) (*Chain, memory.Allocator) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	c, err := newChain(planOf(t, in, steps...), pipeline.InTraining, mem)
	if err != nil {
		t.Fatal(err)
	}
	return c, mem
}

// apply cleans rows of plain values and returns what comes out, RowColumn
// last.
func apply(t testing.TB, c *Chain, mem memory.Allocator, rows ...[]any) ([][]any, *pipeline.Report) {
	t.Helper()
	batch := tabletest.Batch(mem, c.Input(), 0, rows...)
	defer batch.Release()
	rep := &pipeline.Report{KeepRemoved: true}
	out, err := c.Apply(t.Context(), batch, rep)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	if want := c.Schema().Arrow(); !out.Schema().Equal(want) {
		t.Fatalf("the batch has schema\n%s\nthe chain says\n%s", out.Schema(), want)
	}
	return tabletest.Rows(out), rep
}

func check(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var everyType = columns("s", "string", "i", "int64", "f", "float64", "b", "bool", "t", "timestamp")

// everyStep is steps that together use each operator, on columns of each type.
func everyStep(rt *rapid.T) []pipeline.CleanStep {
	all := []pipeline.CleanStep{
		{Trim: &pipeline.TrimStep{Columns: []string{"s"}}},
		{Case: &pipeline.CaseStep{Columns: []string{"s"}, To: rapid.SampledFrom([]string{"upper", "lower", "title"}).Draw(rt, "case")}},
		{Filter: &pipeline.FilterStep{Expression: "i > 1"}},
		{Derive: &pipeline.DeriveStep{Column: "wide", Expression: "i > 3"}},
		{Fill: &pipeline.FillStep{Columns: []string{"s"}, Strategy: "fill_with_const", Value: "JFK"}},
		{Fill: &pipeline.FillStep{Columns: []string{"i", "f"}, Strategy: "fill_with_const", Value: 7}},
		{Fill: &pipeline.FillStep{Columns: []string{"b"}, Strategy: "fill_with_const", Value: true}},
		{Fill: &pipeline.FillStep{Columns: []string{"t"}, Strategy: "fill_with_const", Value: "2020-01-02"}},
		{Fill: &pipeline.FillStep{Columns: []string{"t", "b", "f"}, Strategy: "drop_row"}},
	}
	types := []table.Type{table.String, table.Int64, table.Float64, table.Bool, table.Timestamp}
	name := rapid.SampledFrom([]string{"s", "i", "f", "b", "t"}).Draw(rt, "cast column")
	_, c, _ := everyType.Lookup(name)
	to := rapid.SampledFrom(types).Filter(func(to table.Type) bool {
		_, ok := casts[conversion{c.Type, to}]
		return ok
	}).Draw(rt, "cast to")
	cast := pipeline.CleanStep{Cast: &pipeline.CastStep{Column: name, Type: to, OnError: rapid.SampledFrom([]string{"null", "drop"}).Draw(rt, "on error")}}
	steps := rapid.Permutation(all).Draw(rt, "steps")[:rapid.IntRange(0, len(all)).Draw(rt, "count")]
	// The cast comes last: the steps before it want the column's first type.
	return append(steps, cast)
}

func TestBatchBoundariesChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		c, err := newChain(planOf(t, everyType, everyStep(rt)...), pipeline.InScoring, mem)
		if err != nil {
			rt.Fatal(err)
		}
		batch := tabletest.Draw(rt, mem, everyType, 40)
		defer batch.Release()
		before := tabletest.Rows(batch)

		clean := func(pieces ...arrow.Record) ([][]any, *pipeline.Report) {
			rep, rows := &pipeline.Report{KeepRemoved: true}, [][]any{}
			for _, p := range pieces {
				out, err := c.Apply(t.Context(), p, rep)
				if err != nil {
					rt.Fatal(err)
				}
				if !out.Schema().Equal(c.Schema().Arrow()) {
					rt.Fatalf("the batch has schema\n%s\nthe chain says\n%s", out.Schema(), c.Schema().Arrow())
				}
				rows = append(rows, tabletest.Rows(out)...)
				out.Release()
			}
			return rows, rep
		}
		whole, wholeReport := clean(batch)
		pieces := tabletest.Split(rt, batch)
		split, splitReport := clean(pieces...)
		for _, p := range pieces {
			p.Release()
		}
		if diff := cmp.Diff(whole, split); diff != "" {
			rt.Fatalf("in pieces the rows differ (-whole +pieces):\n%s", diff)
		}
		if diff := cmp.Diff(counts(wholeReport), counts(splitReport)); diff != "" {
			rt.Fatalf("in pieces the counts differ (-whole +pieces):\n%s", diff)
		}
		if in, out, gone := wholeReport.RowsIn, wholeReport.RowsOut, int64(len(wholeReport.Removed)); in != batch.NumRows() || in != out+gone || out != int64(len(whole)) {
			rt.Fatalf("%d rows in, %d out, %d named as removed, %d returned", in, out, gone, len(whole))
		}
		if diff := cmp.Diff(before, tabletest.Rows(batch)); diff != "" {
			rt.Fatalf("the input was changed:\n%s", diff)
		}
	})
}

// counts is a report without the order in which rows were removed.
func counts(r *pipeline.Report) map[string]int64 {
	out := map[string]int64{"rows in": r.RowsIn, "rows out": r.RowsOut}
	maps.Copy(out, r.Changed)
	for k, n := range r.Dropped {
		out["dropped "+k] = n
	}
	for _, gone := range r.Removed {
		out[fmt.Sprintf("removed %d: %s", gone.Row, gone.Reason)]++
	}
	return out
}

func TestABatchThatNeedsNothingIsNotCopied(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string", "i", "int64"),
		pipeline.CleanStep{Trim: &pipeline.TrimStep{Columns: []string{"s"}}},
		pipeline.CleanStep{Case: &pipeline.CaseStep{Columns: []string{"s"}, To: "upper"}},
		pipeline.CleanStep{Fill: &pipeline.FillStep{Columns: []string{"i"}, Strategy: "fill_with_const", Value: 0}},
		pipeline.CleanStep{Filter: &pipeline.FilterStep{Expression: "i > 0"}})
	batch := tabletest.Batch(mem, c.Input(), 0, []any{"JFK", int64(1)}, []any{"LAX", int64(2)})
	defer batch.Release()
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	for i, a := range out.Columns() {
		if a.Data().Buffers()[1] != batch.Column(i).Data().Buffers()[1] {
			t.Errorf("column %d was copied", i)
		}
	}
	if out.Column(0).Data().Dictionary() != batch.Column(0).Data().Dictionary() {
		t.Error("the dictionary was copied")
	}
}

func TestScoringLeavesOutTrainingColumnsAndSteps(t *testing.T) {
	in := columns("distance", "int64", "delay", "int64")
	in.Columns[1].TrainingOnly = true
	p := planOf(t, in, pipeline.CleanStep{Filter: &pipeline.FilterStep{Expression: "delay > 0"}})
	p.ScoringInput = columns("distance", "int64")
	p.Steps[0].Applies.Scoring = false
	c, err := New(p, pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "schema", c.Schema(), columns("distance", "int64"))
	batch := tabletest.Batch(memory.DefaultAllocator, in, 5, []any{int64(1), nil})
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows", tabletest.Rows(out), [][]any{{int64(1), int64(5)}})

	p.Steps[0].Applies.Scoring = true
	_, err = New(p, pipeline.InScoring)
	if !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a step that reads a training column in scoring: got %v", err)
	}
}

func TestAForeignBatchIsRefusedByColumn(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string", "i", "int64"))
	for name, schema := range map[string]table.Schema{
		"clean: column i: is not there":                       columns("s", "string"),
		"clean: column i: is float64 in the batch, not int64": columns("s", "string", "i", "float64"),
	} {
		batch := tabletest.Batch(mem, schema, 0)
		_, err := c.Apply(t.Context(), batch, nil)
		batch.Release()
		if err == nil || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestStepsOnWrongColumnsAreRefused(t *testing.T) {
	in := columns("s", "string", "i", "int64", "b", "bool")
	for want, step := range map[string]pipeline.CleanStep{
		"clean: step 1 trim: column x: is not there":                                    {Trim: &pipeline.TrimStep{Columns: []string{"x"}}},
		"clean: step 1 trim: column i: is of type int64, not string":                    {Trim: &pipeline.TrimStep{Columns: []string{"i"}}},
		`clean: step 1 case: case to "UP" is none of upper, lower, title`:               {Case: &pipeline.CaseStep{Columns: []string{"s"}, To: "UP"}},
		"clean: step 1 cast: column b: is of type bool, which has no form as timestamp": {Cast: &pipeline.CastStep{Column: "b", Type: table.Timestamp}},
		`clean: step 1 cast: there is no type "int32"`:                                  {Cast: &pipeline.CastStep{Column: "b", Type: "int32"}},
		`clean: step 1 cast: on_error "x" is none of null, drop`:                        {Cast: &pipeline.CastStep{Column: "b", Type: table.Int64, OnError: "x"}},
		"clean: step 1 fill: column i: is of type int64, which cannot hold 1.5":         {Fill: &pipeline.FillStep{Columns: []string{"i"}, Strategy: "fill_with_const", Value: 1.5}},
		"clean: step 1 fill: fill_with_const has no value":                              {Fill: &pipeline.FillStep{Columns: []string{"i"}, Strategy: "fill_with_const"}},
		`clean: step 1 fill: strategy "mean" is none of fill_with_const, drop_row`:      {Fill: &pipeline.FillStep{Columns: []string{"i"}, Strategy: "mean"}},
		"clean: step : not supported (the step names no operator of this build)":        {},
		`clean: step 1 filter: "i" is not a bool expression`:                            {Filter: &pipeline.FilterStep{Expression: "i"}},
		`clean: step 1 derive: a derived column cannot be called "_row"`:                {Derive: &pipeline.DeriveStep{Column: "_row", Expression: "i"}},
	} {
		_, err := New(planOf(t, in, step), pipeline.InTraining)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// flights is a batch of the columns of a flight: text to be trimmed and
// raised, and a delay that is missing in one row of a hundred.
func flights(n int) arrow.Record {
	in := columns("date", "timestamp", "delay", "int64", "distance", "int64", "origin", "string", "destination", "string")
	airports := make([]string, 300)
	for i := range airports {
		airports[i] = fmt.Sprintf(" a%c%c", 'a'+i/26, 'a'+i%26)
	}
	rows := make([][]any, n)
	for i := range rows {
		rows[i] = []any{int64(i) * 1e6, int64(i%200 - 20), int64(i % 3000), airports[i*7%300], airports[i*11%300]}
		if i%100 == 99 {
			rows[i][1] = nil
		}
	}
	return tabletest.Batch(memory.DefaultAllocator, in, 0, rows...)
}

func BenchmarkChain(b *testing.B) {
	const rows = 1 << 16
	// A worker holds rows by the hundred megabytes. With an empty heap the
	// collector would run at every other batch, and be what is measured.
	heap := make([]byte, 128<<20)
	defer runtime.KeepAlive(heap)
	batch := flights(rows)
	in := columns("date", "timestamp", "delay", "int64", "distance", "int64", "origin", "string", "destination", "string")
	text := []pipeline.CleanStep{
		{Trim: &pipeline.TrimStep{Columns: []string{"origin", "destination"}}},
		{Case: &pipeline.CaseStep{Columns: []string{"origin", "destination"}, To: "upper"}}}
	for name, steps := range map[string][]pipeline.CleanStep{
		"trim and case":               text,
		"trim, case, filter all pass": append(text[:2:2], pipeline.CleanStep{Filter: &pipeline.FilterStep{Expression: "distance >= 0"}}),
		"trim, case, filter 1 of 100": append(text[:2:2], pipeline.CleanStep{Filter: &pipeline.FilterStep{Expression: "delay != null"}}),
		"cast int64 to float64":       {{Cast: &pipeline.CastStep{Column: "distance", Type: table.Float64}}},
		"cast int64 to string":        {{Cast: &pipeline.CastStep{Column: "distance", Type: table.String}}},
		"fill 1 of 100":               {{Fill: &pipeline.FillStep{Columns: []string{"delay"}, Strategy: "fill_with_const", Value: 0}}},
	} {
		b.Run(name, func(b *testing.B) {
			c, err := New(planOf(b, in, steps...), pipeline.InTraining)
			if err != nil {
				b.Fatal(err)
			}
			rep := new(pipeline.Report)
			b.ReportAllocs()
			for b.Loop() {
				out, err := c.Apply(b.Context(), batch, rep)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// dictionary returns the entries of a string column.
func dictionary(a arrow.Array) []string {
	dict := a.(*array.Dictionary).Dictionary().(*array.String)
	out := make([]string, dict.Len())
	for i := range out {
		out[i] = dict.Value(i)
	}
	return out
}
