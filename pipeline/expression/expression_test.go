package expression_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var flights = table.Schema{
	Columns: []table.Column{
		{Name: "date", Type: table.Timestamp, Nullable: true}, {Name: "delay", Type: table.Int64, Nullable: true},
		{Name: "distance", Type: table.Float64, Nullable: true}, {Name: "origin", Type: table.String, Nullable: true},
		{Name: "late", Type: table.Bool, Nullable: true}, {Name: "tail number", Type: table.String, Nullable: true},
	},
	Unsupported: []table.UnsupportedColumn{{Name: "raw", Type: "binary"}},
}

// rows are Sunday 2001-09-09 02:30:00 UTC, the microsecond before 1970, and
// nothing but nulls.
var rows = [][]any{
	{int64(1000002600000000), int64(16), 1.5, "JFK", true, "N1"},
	{int64(-1), int64(-15), math.NaN(), " a-ß ", false, "N2"},
	{nil, nil, nil, nil, nil, nil},
}

func eval(t *testing.T, source string, zone *time.Location) (*expression.Program, []any) {
	t.Helper()
	p, err := expression.Compile(source, flights, zone)
	if err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, flights, 0, rows...)
	defer batch.Release()
	a, err := p.Eval(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	out := make([]any, a.Len())
	for i := range out {
		out[i] = tabletest.Value(a, i)
	}
	return p, out
}

func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		source string
		typ    table.Type
		want   []any
	}{
		{"year(date)*10000 + month(date)*100 + day(date)", table.Int64, []any{int64(20010909), int64(19691231), nil}},
		{"hour(date)", table.Int64, []any{int64(2), int64(23), nil}},
		{"weekday(date)", table.Int64, []any{int64(6), int64(2), nil}},
		{"secondsBetween(date, date) + 1", table.Float64, []any{1.0, 1.0, nil}},
		{"delay > 15", table.Bool, []any{true, false, nil}},
		{"delay / 0", table.Float64, []any{nil, nil, nil}},
		{"delay / 32", table.Float64, []any{0.5, -0.46875, nil}},
		{"delay % 4 - 7 % 4", table.Int64, []any{int64(-3), int64(-6), nil}},
		{"delay % 0", table.Int64, []any{nil, nil, nil}},
		{"delay + 9223372036854775807", table.Int64, []any{nil, int64(math.MaxInt64 - 15), nil}},
		{"distance", table.Float64, []any{1.5, nil, nil}},
		{"distance == null", table.Bool, []any{false, true, true}},
		{"null != delay", table.Bool, []any{true, true, false}},
		{"late and null == delay", table.Bool, []any{false, false, nil}},
		{"late or delay > 0", table.Bool, []any{true, false, nil}},
		{"distance > 1 or not late", table.Bool, []any{true, true, nil}},
		{"late ? delay : distance", table.Float64, []any{16.0, nil, nil}},
		{"late ? origin : null", table.String, []any{"JFK", nil, nil}},
		{"distance ?? delay ?? -1", table.Float64, []any{1.5, -15.0, -1.0}},
		{"1 < delay < 17", table.Bool, []any{true, false, nil}},
		{"delay in 10..16", table.Bool, []any{true, false, nil}},
		{"delay not in [16, 3]", table.Bool, []any{false, true, nil}},
		{"delay in [16.0, 0.5]", table.Bool, []any{true, false, nil}},
		{"delay in [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]", table.Bool, []any{true, false, nil}},
		{"late in [false]", table.Bool, []any{false, true, nil}},
		{"late in []", table.Bool, []any{false, false, nil}},
		{"delay in []", table.Bool, []any{false, false, nil}},
		{"origin in ['JFK']", table.Bool, []any{true, false, nil}},
		{"origin + '-' + origin", table.String, []any{"JFK-JFK", " a-ß - a-ß ", nil}},
		{"len(origin)", table.Int64, []any{int64(3), int64(5), nil}},
		{"origin[-2:]", table.String, []any{"FK", "ß ", nil}},
		{"origin[1:2]", table.String, []any{"F", "a", nil}},
		{"split(trim(origin), '-')[1]", table.String, []any{nil, "ß", nil}},
		{"upper(trim(origin)) matches '^[A-Z]{3}$'", table.Bool, []any{true, false, nil}},
		{"date >= '2001-09-09 02:30'", table.Bool, []any{true, false, nil}},
		{"date in ['2001-09-09T02:30:00']", table.Bool, []any{true, false, nil}},
		{"int('12') + delay", table.Int64, []any{int64(28), int64(-3), nil}},
		{"int(origin)", table.Int64, []any{nil, nil, nil}},
		{"float(string(delay))", table.Float64, []any{16.0, -15.0, nil}},
		{"min(delay, 3, distance)", table.Float64, []any{1.5, nil, nil}},
		{"$env['tail number'] + $env[\"origin\"]", table.String, []any{"N1JFK", "N2 a-ß ", nil}},
		{"2 * 3", table.Int64, []any{int64(6), int64(6), int64(6)}},
		{"'x'", table.String, []any{"x", "x", "x"}},
		{"true", table.Bool, []any{true, true, true}},
	} {
		p, got := eval(t, c.source, nil)
		if p.Type() != c.typ {
			t.Errorf("%s is %s, want %s", c.source, p.Type(), c.typ)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.source, diff)
		}
	}
}

func TestClockFunctionsReadTheZone(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	_, got := eval(t, "day(date)*100 + hour(date)", zone)
	if diff := cmp.Diff([]any{int64(822), int64(3118), nil}, got); diff != "" {
		t.Error(diff)
	}
	_, got = eval(t, "date == '2001-09-08 22:30:00'", zone)
	if diff := cmp.Diff([]any{true, false, nil}, got); diff != "" {
		t.Error(diff)
	}
}

func TestProgramTellsWhatItReads(t *testing.T) {
	p, _ := eval(t, "origin + origin == $env['tail number'] or hour(date) in [1, 2] or true", nil)
	if want := []string{"date", "origin", "tail number"}; !slices.Equal(p.Columns(), want) {
		t.Errorf("reads %v, want %v", p.Columns(), want)
	}
	if !strings.HasPrefix(p.Source(), "origin + origin") {
		t.Errorf("source is %q", p.Source())
	}
}

func TestCompileSaysWhereAndWhatIsWrong(t *testing.T) {
	// The library shares the middle of a < b < c, so that work could double at
	// each level.
	deep := strings.Repeat("((0 < ", 40) + "delay" + strings.Repeat(" < 9) ? 1 : 2)", 40)
	for _, c := range []struct{ source, want, hint string }{
		{"nosuch", "character 1: there is no column nosuch", ""},
		{"hour(dat)", "character 6: there is no column dat", "did you mean date?"},
		{"1 + houre(date)", "character 5: there is no function houre", "did you mean hour?"},
		{"hour", "character 1: there is no column hour", "hour is a function: write hour(t)"},
		{"raw == 'a'", "character 1: column raw holds binary, which no expression can read", ""},
		{"hour(delay)", "character 6: hour takes a timestamp, and delay is an int64", ""},
		{"hour(date, date)", "character 1: hour takes 1 argument, not 2", "write hour(t)"},
		{"min(delay)", "character 1: min takes 2 or more arguments, not 1", "write min(a, b)"},
		{"trim(origin, 'a', 'b')", "character 1: trim takes 1 to 2 arguments, not 3", "write trim(s) or trim(s, cut)"},
		{"split(origin)[0]", "character 1: split takes 2 arguments, not 1", "write split(s, by)"},
		{"delay + origin", "character 9: + takes two numbers or two strings, and origin is a string", "write string(delay) + origin"},
		{"delay + null", "character 9: + takes two numbers or two strings, not null", "test for null with == null"},
		{"delay - origin", "character 9: - takes two numbers, and origin is a string", "write delay - float(origin)"},
		{"distance % 2", "character 1: % takes two int64, and distance is a float64", "write int(distance) % 2"},
		{"delay and late", "character 1: and takes bools, and delay is an int64", "write (delay != 0) and late"},
		{"not delay", "character 5: not takes a bool, and delay is an int64", "write not (delay != 0)"},
		{"-origin", "character 2: - takes a number, and origin is a string", "write -float(origin)"},
		{"origin == 1", "character 8: == cannot compare origin (a string) with an int64", "write origin == \"1\""},
		{"late < late", "character 6: bools have no order: only == and != take them", ""},
		{"delay < null", "character 7: null is neither less nor greater: only == and != take it", ""},
		{"date > 'soon'", `character 8: "soon" is not a date or time`, "write \"2020-01-31\", \"2020-01-31 15:04:05\" or an RFC 3339 time"},
		{"delay matches 'a'", "character 1: matches takes a string, and delay is an int64", "write string(delay) matches 'a'"},
		{"origin matches '['", "character 16: missing closing ]: `[`", ""},
		{"origin matches origin", "character 16: the pattern of matches must be a literal string", ""},
		{"origin contains 1", "character 17: contains takes two strings, not an int64", "write origin contains \"1\""},
		{"origin in [delay]", "character 12: the list of in takes literals alone", ""},
		{"origin in [1]", "character 12: in takes values of one type: a list for a string, not an int64", "write origin in [\"1\"]"},
		{"origin in 1..2", "character 1: in with a range takes a number, and origin is a string", "write float(origin) in 1..2"},
		{"delay in 1..delay", "character 13: the ends of a range must be literal int64", ""},
		{"delay in origin", "character 10: behind in stands a list of literals, [\"a\", \"b\"], or a range, 1..5", ""},
		{"null in [1]", "character 1: in takes a value, not null", "test for null with == null"},
		{"1..2", "character 2: a range can only stand behind in", ""},
		{"[1, 2]", "character 1: a list can only stand behind in", ""},
		{"null", "character 1: the expression is always null", ""},
		{"null ?? null", "character 6: the values of ?? are both null", ""},
		{"1 / 0 > delay", "character 3: this is always null", ""},
		{"late ? 1 : 'x'", "character 12: the branches of ?: are of different types, int64 and string", ""},
		{"delay ? 1 : 2", "character 1: ?: takes a bool, and delay is an int64", "write (delay != 0) ? 1 : 2"},
		{"split(origin, '-')", "character 1: a list is no value of a column", "take one of its parts: split(…)[0]"},
		{"split(origin, '-')['a']", "character 20: [ ] takes an int64, not a string", ""},
		{"origin[0]", "character 7: a string has no parts", "a part of a string is s[from:to]"},
		{"len(delay)", "character 5: len takes a string or a list, and delay is an int64", "write len(string(delay))"},
		{"abs(origin)", "character 5: abs takes a number, and origin is a string", "write abs(float(origin))"},
		{"int(late)", "character 5: int takes a number or a string, and late is a bool", "write int(late ? 1 : 0)"},
		{"string(date)", "character 8: string takes a number, a bool or a string, and date is a timestamp", "a timestamp has year(t) to second(t) and secondsBetween(t, u), and can be compared with a date in quotes"},
		{"delay.x()", "character 7: values have no methods", ""},
		{"count(delay, # > 1)", "character 1: there is no function count", "an expression sees one row, so there are no sums over rows"},
		{"now()", "character 1: there is no function now", "an expression has no clock; an age counts from a column"},
		{"let a = 1; a", "character 5: this is not part of the expressions of a pipeline", ""},
		{"{'a': 1}", "character 1: this is not part of the expressions of a pipeline", ""},
		{"delay +", "character 7: the expression ends where something is missing", ""},
		{"'a", "character 3: the quote at the end of a text is missing", ""},
		{"  ", "character 1: the expression is empty", ""},
		{"\xff", "character 1: the expression is not valid UTF-8", ""},
		{deep, "character 1: the expression is too large", ""},
		{strings.Repeat("1+", 600) + "1", "the expression is too large", "at most 512 operators, operands and calls"},
		{strings.Repeat(" ", 5000), "character 1: the expression is too long", "at most 4096 bytes"},
	} {
		_, err := expression.Compile(c.source, flights, nil)
		var problem *expression.Problem
		if !errors.As(err, &problem) || thalweg.KindOf(err) != thalweg.Invalid && thalweg.KindOf(err) != thalweg.Exhausted {
			t.Errorf("%.40s: error %v", c.source, err)
			continue
		}
		if !strings.Contains(problem.Error(), c.want) || problem.Hint != c.hint {
			t.Errorf("%.40s: %s (%s), want %s (%s)", c.source, problem, problem.Hint, c.want, c.hint)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v", c.source, err)
		}
	}
}

func TestEvalNamesAColumnThatIsNotAsCompiled(t *testing.T) {
	p, err := expression.Compile("delay > 15", flights, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, schema := range map[string]table.Schema{
		"column delay: invalid (is not in the batch)":                {},
		"column delay: invalid (is float64 in the batch, not int64)": {Columns: []table.Column{{Name: "delay", Type: table.Float64}}},
	} {
		if _, err := p.Eval(tabletest.Batch(memory.DefaultAllocator, schema, 0)); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestEvalOfAColumnAloneSharesItsMemory(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	batch := tabletest.Batch(mem, flights, 0, rows...)
	p, err := expression.Compile("origin", flights, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Eval(batch)
	if err != nil {
		t.Fatal(err)
	}
	batch.Release()
	if got := tabletest.Value(a, 0); got != "JFK" {
		t.Errorf("after the batch is gone the value is %v", got)
	}
	a.Release()
}

// A result must not look into memory of the batch unless it retains it.
func TestResultsOutliveTheBatch(t *testing.T) {
	for _, source := range []string{"delay ?? 0", "int(delay)", "distance ?? 0.5", "lower(origin)", "origin + 'x'", "trim(origin, 'J')",
		"late ? origin : 'x'", "late", "not late", "float(distance)", "coalesce(delay, 1)"} {
		p, err := expression.Compile(source, flights, nil)
		if err != nil {
			t.Fatal(err)
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		batch := tabletest.Batch(mem, flights, 0, rows[0], rows[0])
		a, err := p.Eval(batch)
		if err != nil {
			t.Fatal(err)
		}
		want := tabletest.Value(a, 1)
		if !shares(a, batch) {
			scribble(batch)
		}
		if got := tabletest.Value(a, 1); got != want {
			t.Errorf("%s was %v, is %v once the batch's memory is used again", source, want, got)
		}
		batch.Release()
		a.Release()
		mem.AssertSize(t, 0)
	}
}

// shares reports whether a is one of the batch's own columns, retained.
func shares(a arrow.Array, batch arrow.Record) bool { return slices.Contains(batch.Columns(), a) }

// scribble overwrites the values of the batch, strings of dictionaries aside:
// those are immutable and retained where a result needs them.
func scribble(batch arrow.Record) {
	for _, c := range batch.Columns() {
		for _, b := range c.Data().Buffers() {
			if b != nil {
				clear(b.Bytes())
			}
		}
	}
}

func TestLargeDictionariesAreEvaluatedWhereRowsNameThem(t *testing.T) {
	dictionary := make([]string, 5000)
	for i := range dictionary {
		dictionary[i] = strings.Repeat("x", i%7)
	}
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}, {Name: "u", Type: table.String}}}
	a := tabletest.Strings(memory.DefaultAllocator, dictionary, "xx", nil, "xxxx", "y")
	numbers := tabletest.Column(memory.DefaultAllocator, table.Int64, int64(0), int64(1), int64(2), int64(3))
	batch := array.NewRecord(schema.Arrow(), []arrow.Array{a, a, numbers}, 4)
	for source, want := range map[string][]any{
		"upper(s)":          {"XX", nil, "XXXX", "Y"},
		"len(s)":            {int64(2), nil, int64(4), int64(1)},
		"trimPrefix(s,'x')": {"x", nil, "xxx", "y"},
		"s + u":             {"xxxx", nil, "xxxxxxxx", "yy"},
		"s == u":            {true, nil, true, true},
	} {
		p, err := expression.Compile(source, schema, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Eval(batch)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]any, out.Len())
		for i := range got {
			got[i] = tabletest.Value(out, i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
}

func TestAProgramMayBeEvaluatedFromSeveralGoroutines(t *testing.T) {
	for _, source := range []string{"hour(date)", "origin matches 'J' and delay in [1, 16]", "replace(origin, 'J', string(delay))",
		"split(origin, 'F')[0]", "late ? origin : 'x'"} {
		p, err := expression.Compile(source, flights, nil)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			batch := tabletest.Batch(memory.DefaultAllocator, flights, 0, rows...)
			group.Go(func() {
				for range 20 {
					a, err := p.Eval(batch)
					if err != nil {
						t.Error(err)
						return
					}
					a.Release()
				}
			})
		}
		group.Wait()
	}
}

func TestAnInfinityOfAColumnHasAText(t *testing.T) {
	columns := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64, Nullable: true}}}
	p, err := expression.Compile("string(x)", columns, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, []any{math.Inf(1)}, []any{math.Inf(-1)}, []any{math.NaN()}, []any{1.5})
	defer batch.Release()
	a, err := p.Eval(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	for i, want := range []any{"+Inf", "-Inf", nil, "1.5"} {
		if got := tabletest.Value(a, i); got != want {
			t.Errorf("row %d is %v, want %v", i, got, want)
		}
	}
}
