package clean

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
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

// document is a spec whose features read no column, and its label one that compile
// takes out again.
const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: test}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  schema: {timezone: %s}
  input_features: [{name: one, type: number, expression: "1"}]
  output_features: [{name: answer, type: binary}]
  preprocessing: {clean: [%s]}
`

// stepOf is the text of a step of the catalog. It applies in both phases unless
// it says otherwise.
func stepOf(options pipeline.StepSpec) string {
	phases := options.Phases()
	if phases.ApplyTo == nil {
		phases.ApplyTo = []pipeline.Phase{pipeline.InTraining, pipeline.InScoring}
	}
	for _, e := range Catalog() {
		if reflect.TypeOf(e.Options) == reflect.TypeOf(options) {
			text, err := yaml.MarshalWithOptions(map[string]any{e.Name: options}, yaml.Flow(true))
			if err != nil {
				panic(err)
			}
			return strings.TrimSpace(string(text))
		}
	}
	panic("the catalog does not have it")
}

func compile(t testing.TB, zone string, in table.Schema, steps ...string) (*pipeline.Plan, error) {
	t.Helper()
	return compileWith(t, zone, in, "", steps...)
}

func compileWith(t testing.TB, zone string, in table.Schema, sections string, steps ...string) (*pipeline.Plan, error) {
	t.Helper()
	text := fmt.Sprintf(document, zone, strings.Join(steps, ", ")) + sections
	spec, err := pipeline.Parse(pipeline.Catalog{pipeline.Steps: Catalog()}, "test.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	in.Columns = append(slices.Clone(in.Columns), table.Column{Name: "answer", Type: table.Bool})
	plan, err := pipeline.Compile(spec, in)
	if err != nil {
		return nil, err
	}
	for _, s := range []*table.Schema{&plan.Input, &plan.ScoringInput, &plan.Cleaned, &plan.ScoringCleaned} {
		s.Columns = slices.DeleteFunc(slices.Clone(s.Columns), func(c table.Column) bool { return c.Name == "answer" })
	}
	return plan, nil
}

func planOf(t testing.TB, in table.Schema, steps ...string) *pipeline.Plan {
	t.Helper()
	p, err := compile(t, "UTC", in, steps...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// chainOf is a chain of steps in memory that the test checks for leaks.
func chainOf(t testing.TB, in table.Schema, steps ...string) (*Chain, memory.Allocator) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return newChain(planOf(t, in, steps...), pipeline.InTraining, mem), mem
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
func everyStep(rt *rapid.T) []string {
	all := []string{
		stepOf(&Trim{Columns: []string{"s"}}),
		stepOf(&Case{Columns: []string{"s"}, To: rapid.SampledFrom([]string{"upper", "lower", "title"}).Draw(rt, "case")}),
		stepOf(&NormalizeText{Columns: []string{"s"}, Form: rapid.SampledFrom([]string{"nfc", "nfkc", "nfd", "nfkd"}).Draw(rt, "form"), CollapseSpace: true}),
		stepOf(&Replace{Columns: []string{"s"}, Values: map[string]any{"JFK": "LAX", "12": nil, "": "a"}}),
		stepOf(&Replace{Columns: []string{"i", "f"}, Values: map[string]any{"0": 3, "1": nil, "12": 0}}),
		stepOf(&Replace{Column: "b", Values: map[string]any{"true": rapid.SampledFrom([]any{nil, false}).Draw(rt, "for true")}}),
		stepOf(&Replace{Column: "s", Pattern: rapid.SampledFrom([]string{"[a-z]", "x*", "^|$"}).Draw(rt, "pattern"), With: new("<$0>")}),
		stepOf(&Filter{Expression: "i > 1"}),
		stepOf(&Derive{Column: "wide", Expression: "i > 3"}),
		stepOf(&Fill{Columns: []string{"s"}, Strategy: "fill_with_const", Value: "JFK"}),
		stepOf(&Fill{Columns: []string{"i", "f"}, Strategy: "fill_with_const", Value: 7}),
		stepOf(&Fill{Columns: []string{"b"}, Strategy: "fill_with_const", Value: true}),
		stepOf(&Fill{Columns: []string{"t"}, Strategy: "fill_with_const", Value: "2020-01-02"}),
		stepOf(&Fill{Columns: []string{"t", "b", "f"}, Strategy: "drop_row"}),
		stepOf(&Fill{Columns: []string{"f", "i"}, Strategy: rapid.SampledFrom([]string{"fill_with_mean", "fill_with_median"}).Draw(rt, "fill")}),
		stepOf(&Fill{Columns: []string{"s", "i", "f", "b", "t"}, Strategy: "fill_with_mode"}),
	}
	for _, name := range []string{"i", "f"} {
		all = append(all, stepOf(&Outliers{Column: name, Method: rapid.SampledFrom([]string{"zscore", "iqr", "mad", "quantile"}).Draw(rt, "method"),
			Threshold: 0.4, Action: rapid.SampledFrom([]string{"clip", "null", "drop"}).Draw(rt, "action")}))
	}
	types := []table.Type{table.String, table.Int64, table.Float64, table.Bool, table.Timestamp}
	name := rapid.SampledFrom([]string{"s", "i", "f", "b", "t"}).Draw(rt, "cast column")
	_, c, _ := everyType.Lookup(name)
	to := rapid.SampledFrom(types).Filter(func(to table.Type) bool {
		_, ok := casts[conversion{c.Type, to}]
		return ok
	}).Draw(rt, "cast to")
	formats := Cast{}
	if name == "s" && rapid.Bool().Draw(rt, "formats") {
		formats = map[table.Type]Cast{table.Int64: {Thousands: ","}, table.Float64: {Thousands: ".", DecimalComma: true}, table.Bool: {TrueWords: []string{"JFK"}, FalseWords: []string{"lax", "12"}},
			table.Timestamp: {TimestampFormats: []string{"2006-1-2", "rfc3339"}}}[to]
	}
	cast := stepOf(&Cast{Column: name, Type: to, TimestampFormats: formats.TimestampFormats, Thousands: formats.Thousands, DecimalComma: formats.DecimalComma,
		TrueWords: formats.TrueWords, FalseWords: formats.FalseWords, OnError: rapid.SampledFrom([]string{"null", "drop"}).Draw(rt, "on error")})
	steps := rapid.Permutation(all).Draw(rt, "steps")[:rapid.IntRange(0, len(all)).Draw(rt, "count")]
	// The cast comes last: the steps before it want the column's first type.
	return append(steps, cast)
}

// trainingRows are rows of everyType, for the steps that learn.
var trainingRows = [][]any{
	{"JFK", int64(2), 0.25, true, int64(5e12)}, {"JFK", int64(7), -1.5, false, int64(5e12)}, {"", int64(30), 2.0, true, int64(7)},
	{" lax", int64(3), 1.0, true, int64(8)}, {"ß", int64(11), 0.75, true, int64(0)}, {"JFK", int64(12), 3.5, true, int64(-9)},
}

// learn returns a plan whose steps have learnt from shards of training rows.
func learn(t testing.TB, plan *pipeline.Plan, shards ...[][]any) (*pipeline.Plan, error) {
	t.Helper()
	var partials []map[string]json.RawMessage
	for _, rows := range shards {
		batch := tabletest.Batch(memory.DefaultAllocator, plan.Input, 0, rows...)
		l := NewLearning(plan)
		err := l.Observe(t.Context(), batch, func(cleaned arrow.Record) ([]uint8, error) { return make([]uint8, cleaned.NumRows()), nil })
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Partial()
		if err != nil {
			t.Fatal(err)
		}
		partials = append(partials, p)
	}
	learnt, err := FinishLearning(plan, partials)
	if err != nil {
		return nil, err
	}
	return plan.WithLearnt(learnt)
}

func learned(t testing.TB, plan *pipeline.Plan, shards ...[][]any) *pipeline.Plan {
	t.Helper()
	plan, err := learn(t, plan, shards...)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// nothingToLearn are the errors of steps that find nothing in the training rows after the
// steps before them.
var nothingToLearn = regexp.MustCompile(`has no value in the training rows|has so many equal values among the training rows`)

func TestBatchBoundariesChangeNothing(t *testing.T) {
	plans := rapid.Custom(func(rt *rapid.T) *pipeline.Plan {
		plan, err := learn(t, planOf(t, everyType, everyStep(rt)...), trainingRows[:3], trainingRows[3:])
		if err != nil && !nothingToLearn.MatchString(err.Error()) {
			rt.Fatal(err)
		}
		return plan
	}).Filter(func(plan *pipeline.Plan) bool { return plan != nil })
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		plan := plans.Draw(rt, "plan")
		c := newChain(plan, pipeline.InScoring, mem)
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
		stepOf(&Trim{Columns: []string{"s"}}),
		stepOf(&Case{Columns: []string{"s"}, To: "upper"}),
		stepOf(&Fill{Columns: []string{"i"}, Strategy: "fill_with_const", Value: 0}),
		stepOf(&Filter{Expression: "i > 0"}))
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
	training := Filter{Expression: "delay > 0"}
	training.ApplyTo = []pipeline.Phase{pipeline.InTraining}
	c := New(planOf(t, in, stepOf(&training)), pipeline.InScoring)
	check(t, "schema", c.Schema(), columns("distance", "int64"))
	batch := tabletest.Batch(memory.DefaultAllocator, in, 5, []any{int64(1), nil})
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows", tabletest.Rows(out), [][]any{{int64(1), int64(5)}})

	if _, err := compile(t, "UTC", in, stepOf(&Filter{Expression: "delay > 0"})); !thalweg.Is(err, thalweg.Invalid) {
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
	for want, step := range map[string]pipeline.StepSpec{
		"trim.columns[0]: there is no column x (did you mean s?)":                                                                                     &Trim{Columns: []string{"x"}},
		"trim.columns[0]: column i is int64, not string":                                                                                              &Trim{Columns: []string{"i"}},
		`case.to: "UP" is not allowed here (one of upper, lower, title)`:                                                                              &Case{Columns: []string{"s"}, To: "UP"},
		"cast.type: column b is bool, which has no form as timestamp":                                                                                 &Cast{Column: "b", Type: table.Timestamp},
		`cast.type: "int32" is not allowed here (one of string, int64, float64, bool, timestamp, list<int64>, list<float64>, list<bool>)`:             &Cast{Column: "b", Type: "int32"},
		`cast.on_error: "x" is not allowed here (one of null, drop)`:                                                                                  &Cast{Column: "b", Type: table.Int64, OnError: "x"},
		"fill.value: column i is int64, which cannot hold 1.5":                                                                                        &Fill{Columns: []string{"i"}, Strategy: "fill_with_const", Value: 1.5},
		"fill: fill_with_const needs a value":                                                                                                         &Fill{Columns: []string{"i"}, Strategy: "fill_with_const"},
		`fill.strategy: "mean" is not allowed here (one of fill_with_const, fill_with_mean, fill_with_median, fill_with_mode, drop_row, last_in_key)`: &Fill{Columns: []string{"i"}, Strategy: "mean"},
		"filter.expression: a filter keeps rows by a bool: this is int64":                                                                             &Filter{Expression: "i"},
		`derive.column: "_row" is not allowed: names that begin with _ are Thalweg's own`:                                                             &Derive{Column: "_row", Expression: "i"},
	} {
		_, err := compile(t, "UTC", in, stepOf(step))
		var all *pipeline.SpecError
		if !errors.As(err, &all) || !strings.HasSuffix(all.Error(), ": spec.preprocessing.clean[0]."+want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	_, err := compile(t, "UTC", in, "{}")
	if want := "the step is empty: one of trim, normalize_text, case, replace, filter, derive, cast, fill, outliers, dedupe, lookup, balance belongs here"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
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
	text := []string{
		stepOf(&Trim{Columns: []string{"origin", "destination"}}),
		stepOf(&Case{Columns: []string{"origin", "destination"}, To: "upper"})}
	for name, steps := range map[string][]string{
		"trim and case":               text,
		"trim, case, filter all pass": append(text[:2:2], stepOf(&Filter{Expression: "distance >= 0"})),
		"trim, case, filter 1 of 100": append(text[:2:2], stepOf(&Filter{Expression: "delay != null"})),
		"cast int64 to float64":       {stepOf(&Cast{Column: "distance", Type: table.Float64})},
		"cast int64 to string":        {stepOf(&Cast{Column: "distance", Type: table.String})},
		"fill 1 of 100":               {stepOf(&Fill{Columns: []string{"delay"}, Strategy: "fill_with_const", Value: 0})},
	} {
		b.Run(name, func(b *testing.B) {
			c := New(planOf(b, in, steps...), pipeline.InTraining)
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
