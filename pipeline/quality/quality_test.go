package quality

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: test}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: one, type: number, expression: "1"}]
  output_features: [{name: answer, type: binary}]
  tests: [%s]
`

var columns = table.Schema{Columns: []table.Column{
	{Name: "i", Type: table.Int64, Nullable: true},
	{Name: "f", Type: table.Float64, Nullable: true},
	{Name: "s", Type: table.String, Nullable: true},
	{Name: "b", Type: table.Bool, Nullable: true},
	{Name: "t", Type: table.Timestamp, Nullable: true},
	{Name: "l", Type: table.Float64List, Nullable: true},
	{Name: "value", Type: table.String, Nullable: true},
	{Name: "answer", Type: table.Bool},
}}

func compile(t testing.TB, tests ...string) (*pipeline.Plan, error) {
	t.Helper()
	spec, err := pipeline.Parse(pipeline.Catalog{pipeline.Tests: Catalog()}, "test.yaml", fmt.Appendf(nil, document, strings.Join(tests, ", ")))
	if err != nil {
		return nil, err
	}
	return pipeline.Compile(spec, columns)
}

func testsOf(t testing.TB, phase pipeline.Phase, tests ...string) *Tests {
	t.Helper()
	plan, err := compile(t, tests...)
	if err != nil {
		t.Fatal(err)
	}
	return New(plan, phase)
}

// batch makes rows of the columns, of which the last are left out.
func batch(t testing.TB, first int64, rows ...[]any) arrow.Record {
	t.Helper()
	for i, r := range rows {
		for len(r) < len(columns.Columns)-1 {
			r = append(r, nil)
		}
		rows[i] = append(r, true)
	}
	return tabletest.Batch(memory.DefaultAllocator, columns, first, rows...)
}

type reference struct {
	Rows  [][]any `json:"rows"`
	Tests []struct {
		Test    string  `json:"test"`
		Failing []int64 `json:"failing"`
	} `json:"tests"`
}

func readReference(t testing.TB) (r reference) {
	t.Helper()
	text, err := os.ReadFile("testdata/reference.json")
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		if row[0] != nil {
			row[0], err = strconv.ParseInt(row[0].(string), 10, 64)
		}
		if row[1] != nil && err == nil {
			row[1], err = strconv.ParseFloat(row[1].(string), 64)
		}
		if row[4] != nil && err == nil {
			var at time.Time
			at, err = time.Parse(time.DateTime, row[4].(string))
			row[4] = at.UnixMicro()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// The same rows fail as DuckDB says, whether they come at once or one by one, in training
// and in scoring.
func TestRowsFailAsDuckDBSays(t *testing.T) {
	r := readReference(t)
	for _, tc := range r.Tests {
		plan, err := compile(t, tc.Test)
		if err != nil {
			t.Errorf("%s: %v", tc.Test, err)
			continue
		}
		rep := pipeline.Report{}
		o := New(plan, pipeline.InTraining).NewObserver()
		if err := o.Observe(batch(t, 5, slices.Clone(r.Rows)...), table.Place{Object: "o", Row: 0}, 5, &rep); err != nil {
			t.Fatal(err)
		}
		found := rep.Tests[plan.Tests[0].Name]
		var stored []int64
		for _, row := range found.Rows {
			stored = append(stored, row.Row)
		}
		if found.Failed != int64(len(tc.Failing)) || !slices.Equal(stored, tc.Failing[:min(100, len(tc.Failing))]) {
			t.Errorf("%s: %d fail, stored %v, want %v", tc.Test, found.Failed, stored, tc.Failing)
		}
		scoring, failing := New(plan, pipeline.InScoring), []int64(nil)
		for i, row := range r.Rows {
			rep := pipeline.Report{KeepRemoved: true, RowsOut: 1}
			left, err := scoring.Remove(memory.DefaultAllocator, batch(t, int64(i), row), &rep)
			if err != nil {
				t.Fatal(err)
			}
			if left.NumRows() == 0 && rep.RowsOut == 0 && len(rep.Removed) == 1 && rep.Removed[0].Stage == "test" && strings.HasPrefix(rep.Removed[0].Reason, "test "+plan.Tests[0].Name+": ") {
				failing = append(failing, rep.Removed[0].Row)
			}
			left.Release()
		}
		if !slices.Equal(failing, tc.Failing) {
			t.Errorf("%s: events %v fail, want %v", tc.Test, failing, tc.Failing)
		}
	}
}

// What is kept and counted does not depend on how rows are cut into shards and batches.
func TestTheFirstFailingRowsAreKeptWhateverTheShards(t *testing.T) {
	r := readReference(t)
	tests := testsOf(t, pipeline.InTraining, `{column: i, range: {min: 0}, store_failures: 7}`, `{column: s, not_null: true, store_failures: 1000}`,
		`{column: f, not_null: true, store_failures: 0, severity: warn}`, `{row_count: {min: 300, max: 300}}`)
	whole := func(cuts func() int) (Judgement, []Line) {
		var total pipeline.Report
		var shards []map[string][]pipeline.FailedRow
		for from := 0; from < len(r.Rows); {
			end := min(len(r.Rows), from+cuts())
			o, rep, first := tests.NewObserver(), pipeline.Report{}, from
			for from < end {
				to := min(end, from+cuts())
				if err := o.Observe(batch(t, int64(from-first), slices.Clone(r.Rows[from:to])...), table.Place{Object: "o", Row: int64(from)}, int64(from-first), &rep); err != nil {
					t.Fatal(err)
				}
				from = to
			}
			rows := make(map[string][]pipeline.FailedRow)
			for name, of := range rep.Tests {
				rows[name], of.Rows = of.Rows, nil
			}
			shards = append(shards, rows)
			total.Merge(&rep)
		}
		lines, err := tests.Lines("r-1-1", len(shards), func(i int) (map[string][]pipeline.FailedRow, error) { return shards[i], nil })
		if err != nil {
			t.Fatal(err)
		}
		return tests.Judge(&total, lines, nil), lines
	}
	want, lines := whole(func() int { return 1000 })
	if len(lines) != 7+18 || len(want.Errors) != 2 || len(want.Warnings) != 1 || !strings.Contains(want.Table, "4 row_count") {
		t.Errorf("%d lines, %+v", len(lines), want)
	}
	if lines[0].Test != "1 range i" || lines[0].Rule != "value >= 0" || lines[0].Run != "r-1-1" || !strings.HasPrefix(string(lines[0].Values), `{"i":-`) {
		t.Errorf("the first line is %+v", lines[0])
	}
	rapid.Check(t, func(rt *rapid.T) {
		got, gotLines := whole(func() int { return rapid.IntRange(1, 200).Draw(rt, "rows") })
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
		if diff := cmp.Diff(lines, gotLines); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// Rows that are kept have at most so many bytes, and those before the first for which
// there is no room are the same whatever the shards.
func TestFailingRowsAreKeptWithinTheirBytes(t *testing.T) {
	tests := testsOf(t, pipeline.InTraining, `{column: i, range: {min: 0}, store_failures: 10000}`)
	tests.bytes = 5000
	var rows []map[string][]pipeline.FailedRow
	for shard := range 3 {
		o, rep := tests.NewObserver(), pipeline.Report{}
		for k := range int64(20) {
			text := strings.Repeat("ä", int(300*(k%7)))
			if err := o.Observe(batch(t, k, []any{int64(-1), nil, text}), table.Place{Object: fmt.Sprint(shard), Row: k}, k, &rep); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, map[string][]pipeline.FailedRow{"1 range i": rep.Tests["1 range i"].Rows})
		if n := len(rows[shard]["1 range i"]); n == 0 || n == 20 || rep.Tests["1 range i"].Failed != 20 {
			t.Errorf("%d rows are kept, %d failed", n, rep.Tests["1 range i"].Failed)
		}
	}
	lines, err := tests.Lines("r", 3, func(i int) (map[string][]pipeline.FailedRow, error) { return rows[i], nil })
	if err != nil || len(lines) != len(rows[0]["1 range i"])-1 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	for _, l := range lines {
		if l.Object != "0" || len(l.Values) > 2*maxTextBytes || !json.Valid(l.Values) {
			t.Errorf("%+v", l)
		}
	}
}

func TestValuesOfAFailingRowAreJSON(t *testing.T) {
	rec := batch(t, 0, []any{int64(1), math.NaN(), "a\"<b", true, int64(0), []any{0.5, nil, math.NaN(), 2.0}}, []any{nil, math.Inf(1), strings.Repeat("é", 600), nil, nil, slices.Repeat([]any{1.0}, 4096)})
	if got, want := string(values(rec, 0)), `{"i":1,"f":"NaN","s":"a\"\u003cb","b":true,"t":"1970-01-01T00:00:00Z","l":[0.5,null,"NaN",2],"value":null,"answer":true}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := values(rec, 1); !json.Valid(got) || len(got) > 3*maxTextBytes || !strings.Contains(string(got), `,"…"]`) || !strings.Contains(string(got), `"f":"+Inf","s":"éé`) {
		t.Errorf("%s", got)
	}
}

func TestLimitsAreExact(t *testing.T) {
	for _, tc := range []struct {
		limit  string
		n, all int64
		want   bool
	}{
		{"> 0", 0, 10, false}, {"> 0", 1, 10, true}, {">=10", 9, 10, false}, {">= 10", 10, 10, true}, {"> 10", 10, 10, false},
		{"> 0.1%", 3000, 3_000_000, false}, {"> 0.1%", 3001, 3_000_000, true}, {">= 0.1%", 3000, 3_000_000, true},
		{"> 0%", 0, 0, false}, {"> 0%", 0, 5, false}, {"> 0%", 1, 1 << 62, true}, {"> 33.333333333%", 1 << 60, 3 << 60, true},
		{"> 33.333333334%", 1 << 60, 3 << 60, false}, {">= 100%", 7, 7, true}, {"> 100%", 7, 7, false}, {">= 1%", 0, 0, false},
	} {
		var l pipeline.Limit
		if err := l.UnmarshalText([]byte(tc.limit)); err != nil {
			t.Error(err)
		} else if got := l.Met(tc.n, tc.all); got != tc.want {
			t.Errorf("%d of %d, %s: %v", tc.n, tc.all, tc.limit, got)
		}
	}
	for _, bad := range []string{"", "0", "< 1", "> 1.5", ">= 0", ">= 0.0%", "> 100.1%", "> -1", "> 1e3", "> .5%", "> 5 %", "!= 0"} {
		if err := new(pipeline.Limit).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is a limit", bad)
		}
	}
}

// An event fails by the first test of severity error; those of severity warn are counted
// whatever becomes of it.
func TestAnEventFailsByTheFirstTestOfSeverityError(t *testing.T) {
	tests := testsOf(t, pipeline.InScoring, `{column: i, range: {min: 0}, severity: warn}`, `{column: i, check: "value > 0", error_if: "> 50%"}`, `{column: s, not_null: true}`,
		`{column: b, not_null: true, apply_to: [training]}`, `{row_count: {min: 1}}`)
	rep := pipeline.Report{KeepRemoved: true, RowsOut: 4}
	left, err := tests.Remove(memory.DefaultAllocator, batch(t, 10, []any{int64(1), nil, "a"}, []any{int64(-1), nil, nil}, []any{int64(2)}, []any{int64(-5), nil, "a"}), &rep)
	if err != nil {
		t.Fatal(err)
	}
	want := []pipeline.Removal{{Row: 11, Stage: "test", Reason: "test 2 check i: value > 0"}, {Row: 13, Stage: "test", Reason: "test 2 check i: value > 0"}, {Row: 12, Stage: "test", Reason: "test 3 not_null s: value != null"}}
	if diff := cmp.Diff(want, rep.Removed); diff != "" || left.NumRows() != 1 || rep.RowsOut != 1 || rep.Tests["1 range i"].Failed != 2 {
		t.Errorf("%d rows left, report %+v, removed (-want +got):\n%s", left.NumRows(), rep, diff)
	}
}

// A name of a column does not take value away from tests.
func TestValueIsTheTestedColumn(t *testing.T) {
	tests := testsOf(t, pipeline.InScoring, `{column: i, check: "value > 0"}`, `{column: value, regex: a}`)
	rep := pipeline.Report{RowsOut: 2}
	left, err := tests.Remove(memory.DefaultAllocator, batch(t, 0, []any{int64(1), nil, nil, nil, nil, nil, "a"}, []any{int64(1), nil, nil, nil, nil, nil, "b"}), &rep)
	if err != nil || left.NumRows() != 1 || rep.Dropped["test 2 regex value: value matches \"a\""] != 1 {
		t.Errorf("%v, %+v", err, rep)
	}
}

func TestWhatIsWrongWithATestIsSaid(t *testing.T) {
	for text, want := range map[string]string{
		`{column: i, check: "value >"}`:                                      `test.yaml:9:37: spec.tests[0].check: `,
		`{column: i, check: "valu > 0"}`:                                     `9:31: spec.tests[0].check: there is no column valu (did you mean value?)`,
		`{column: i, check: "value + 1"}`:                                    `spec.tests[0].check: a row passes a test by a bool: this is int64`,
		`{column: j, not_null: true}`:                                        `9:20: spec.tests[0].column: there is no column j`,
		`{column: i, regex: a}`:                                              `spec.tests[0].regex: it does not go with column i, which is int64: value matches "a"`,
		`{column: s, regex: "["}`:                                            "spec.tests[0].regex: not a regular expression: missing closing ]",
		`{column: s, regex: ""}`:                                             `spec.tests[0].regex: the pattern is empty`,
		`{column: i, accepted_values: [a]}`:                                  `spec.tests[0].accepted_values: it does not go with column i, which is int64`,
		`{column: i, accepted_values: []}`:                                   `the list is empty`,
		`{column: l, range: {min: 0}}`:                                       `it does not go with column l, which is list<float64>`,
		`{column: i, range: {}}`:                                             `a range needs a bound`,
		`{column: i, range: {min: 2, max: 1}}`:                               `spec.tests[0].range.min: it is above max`,
		`{column: i, not_null: false}`:                                       `spec.tests[0].not_null: it asks for nothing`,
		`{column: i, not_null: true, regex: a}`:                              `only one of not_null and regex can be there`,
		`{column: i}`:                                                        `what is tested is missing: one of check, not_null, accepted_values, range, regex, unique, in_lookup, like_champion, row_count belongs here`,
		`{not_null: true}`:                                                   `spec.tests[0].column: the field is missing`,
		`{column: i, not_null: true, error_if: "5%"}`:                        `a limit in quotes such as "> 100" or "> 0.1%" belongs here, not "5%"`,
		`{column: i, not_null: true, severity: warn, error_if: "> 0"}`:       `a test of severity warn fails no run`,
		`{column: i, not_null: true, store_failures: 10001}`:                 `10001 is out of range`,
		`{column: i, not_null: true, apply_to: [scoring, scoring]}`:          `scoring appears twice`,
		`{row_count: {min: 1}, apply_to: [training, scoring]}`:               `row_count of events, which come one by one: not supported (write apply_to: [training])`,
		`{row_count: {min: 1}, warn_if: "> 0", column: i}`:                   `row_count looks at no single row`,
		`{row_count: {min: 2, max: 1}}`:                                      `it is above max`,
		`{columns: [i], unique: true, apply_to: [training, scoring]}`:        `unique of events, which come one by one: not supported (write apply_to: [training])`,
		`{columns: [i, i], unique: true}`:                                    `spec.tests[0].columns[1]: column i appears twice`,
		`{columns: [i, j], unique: true}`:                                    `spec.tests[0].columns[1]: there is no column j`,
		`{columns: [l], unique: true}`:                                       `column l is list<float64>: rows are not brought together by lists`,
		`{columns: [i], column: s, unique: true}`:                            `only one of column and columns can be there (name it in columns)`,
		`{columns: [i], unique: false}`:                                      `it asks for nothing`,
		`{unique: true}`:                                                     `spec.tests[0].columns: the field is missing`,
		`{columns: [i], column: i, not_null: true}`:                          `not_null looks at one column (write a test for each column)`,
		`{row_count: {min: 1}, columns: [i]}`:                                `row_count looks at no single row`,
		`{column: i, in_lookup: airports}`:                                   `in_lookup: table airports is missing in lookups`,
		`{column: i, like_champion: {}, apply_to: [scoring]}`:                `like_champion of events, which come one by one: not supported (write apply_to: [training])`,
		`{like_champion: {}}`:                                                `spec.tests[0].column: the field is missing`,
		`{column: j, like_champion: {}}`:                                     `there is no column j`,
		`{column: l, like_champion: {}}`:                                     `like_champion compares numbers, strings and bools: column l is list<float64>`,
		`{column: i, like_champion: {warn: 0.3}}`:                            `spec.tests[0].like_champion.warn: a run fails above 0.25 anyway`,
		`{column: i, like_champion: {metric: psy}}`:                          `psi`,
		`{column: i, like_champion: {}, error_if: "> 5"}`:                    `like_champion looks at no single row`,
		`{column: answer, not_null: true}`:                                   `events cannot be tested by column answer: label answer reads it, and it is not known yet (write apply_to: [training])`,
		`{column: i, check: "value > 0 or answer"}`:                          `events cannot be tested by column answer`,
		`{column: i, accepted_values: [` + strings.Repeat("1, ", 501) + `]}`: `the list has 501 values`,
	} {
		if _, err := compile(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := compile(t, slices.Repeat([]string{`{column: i, not_null: true}`}, 101)...); err == nil || !strings.Contains(err.Error(), "at most 100 belong here, not 101") {
		t.Errorf("101 tests: %v", err)
	}
}

// Any text and number of a spec is the same in the expression that is made of it.
func FuzzLiteral(f *testing.F) {
	f.Add("a", 1.5, int64(-1))
	f.Add("\"\\'\n\t\x00\x7f\u2028é\U0001f6eb`${x}", 1e300, int64(1<<62))
	f.Fuzz(func(t *testing.T, text string, x float64, n int64) {
		text = strings.ToValidUTF8(text, "")
		if x-x != 0 || len(text) > 200 || n == -1<<63 {
			return
		}
		for column, v := range map[string]any{"s": text, "f": x, "i": n} {
			program, err := expression.Compile("value == "+literal(v), table.Schema{Columns: []table.Column{{Name: "value", Type: columns.Columns[strings.Index("ifs", column)].Type}}}, nil)
			if err != nil {
				t.Fatalf("%s: %v", literal(v), err)
			}
			verdict, err := program.Eval(tabletest.Batch(memory.DefaultAllocator, table.Schema{Columns: []table.Column{{Name: "value", Type: columns.Columns[strings.Index("ifs", column)].Type}}}, 0, []any{v}))
			if err != nil || verdict.String() != "[true]" {
				t.Errorf("%s: %v, %v", literal(v), verdict, err)
			}
		}
		if pattern := regexp.QuoteMeta(text); text != "" {
			if _, err := expression.Compile("value matches "+literal(pattern), table.Schema{Columns: []table.Column{{Name: "value", Type: table.String}}}, nil); err != nil {
				t.Errorf("%q: %v", pattern, err)
			}
		}
	})
}
