package clean

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func TestReplaceSaysWhatIsWrong(t *testing.T) {
	in := columns("s", "string", "i", "int64", "f", "float64", "l", "list<int64>")
	for want, step := range map[string]string{
		"replace: replace needs column or columns":                                      `{replace: {values: {"1": 2}}}`,
		"replace.columns: of column and columns there is one":                           `{replace: {column: s, columns: [s], values: {"1": "2"}}}`,
		"replace: replace needs values or a pattern":                                    `{replace: {column: s}}`,
		"replace.pattern: of values and pattern there is one (write them as two steps)": `{replace: {column: s, values: {a: b}, pattern: a, with: b}}`,
		"replace.with: with needs a pattern":                                            `{replace: {column: s, values: {a: b}, with: c}}`,
		`replace: a pattern needs with (write with: "" to leave out what matches)`:      `{replace: {column: s, pattern: a}}`,
		"replace.pattern: not a regular expression: missing closing":                    `{replace: {column: s, pattern: "(a", with: b}}`,
		"replace.with: the pattern has no group 1x (write ${1}x)":                       `{replace: {column: s, pattern: (a), with: $1x}}`,
		"replace.with: the pattern has no group 2":                                      `{replace: {column: s, pattern: (a), with: "${2}"}}`,
		"replace.with: a $ is followed by no group (write $$ for a dollar sign)":        `{replace: {column: s, pattern: (a), with: "5 $"}}`,
		"replace.column: column i is int64, not string":                                 `{replace: {column: i, pattern: a, with: b}}`,
		"replace.values: column l is list<int64>, whose values cannot be replaced":      `{replace: {column: l, values: {"1": 2}}}`,
		`replace.values: column i is int64, which has no value "1.5"`:                   `{replace: {columns: [f, i], values: {"1.5": 2}}}`,
		"replace.values: column i is int64, which cannot hold x":                        `{replace: {column: i, values: {"1": x}}}`,
		`replace.values: "0" and "0.0" are one value of column f, which is float64`:     `{replace: {column: f, values: {"0": 1, "0.0": 2}}}`,
		"replace.values: a field's name is a string (put it in quotes)":                 `{replace: {column: i, values: {1: 2}}}`,
	} {
		_, err := compile(t, "UTC", in, step)
		var all *pipeline.SpecError
		if !errors.As(err, &all) || !strings.Contains(all.Error(), ": spec.preprocessing.clean[0]."+want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A text that a pattern makes too long is null, and is not made first.
func TestReplaceBoundsWhatAPatternMakes(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	for _, tc := range []struct {
		in, pattern, with string
		want              any
	}{
		{long, "a", "b", strings.Repeat("b", 1<<20)},
		{long, "b", "ccc", long},
		{long, "(a)", "$1$1", nil},
		{long, "", strings.Repeat("x", 1<<16), nil},
		{long[:1<<19], "(a)", "$1$1", long},
		{long[:1<<19], ".*", "$0$0", long},
	} {
		step := Replace{Column: "s", Pattern: "(?:" + tc.pattern + ")", With: &tc.with}
		c, mem := chainOf(t, columns("s", "string"), stepOf(&step))
		rows, _ := apply(t, c, mem, []any{tc.in})
		if rows[0][0] != tc.want {
			t.Errorf("%q to %.9q: %.20q, want %.20q", tc.pattern, tc.with, rows[0][0], tc.want)
		}
	}
}

func TestReplaceKeepsNaNAndSharesWhatDoesNotChange(t *testing.T) {
	c, mem := chainOf(t, columns("f", "float64"), stepOf(&Replace{Column: "f", Values: map[string]any{"-0": 1, "2": 2}}))
	rows, rep := apply(t, c, mem, []any{math.NaN()}, []any{0.0}, []any{2.0}, []any{nil})
	check(t, "rows", rows, [][]any{{"NaN", int64(0)}, {1.0, int64(1)}, {2.0, int64(2)}, {nil, int64(3)}})
	check(t, "changed", rep.Changed, map[string]int64{"1 replace f": 1})

	batch := tabletest.Batch(mem, c.Input(), 0, []any{2.0}, []any{nil})
	defer batch.Release()
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	if out.Column(0).Data().Buffers()[1] != batch.Column(0).Data().Buffers()[1] {
		t.Error("the column was copied")
	}
}

func TestReplacedTimesAreReadInTheZoneOfTheSchema(t *testing.T) {
	p, err := compile(t, "America/New_York", columns("t", "timestamp"), stepOf(&Replace{Column: "t", Values: map[string]any{"1970-01-01": nil, "1970-01-02T00:00:00Z": "1970-01-01T00:00:00Z"}}))
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := apply(t, New(p, pipeline.InTraining), memory.DefaultAllocator, []any{int64(5 * 3600e6)}, []any{int64(86400e6)}, []any{int64(1)})
	check(t, "rows", rows, [][]any{{nil, int64(0)}, {int64(0), int64(1)}, {int64(1), int64(2)}})
}

// A stored spec is a rendered one: values keep their types there, null and text
// that looks like another type.
func TestReplacedValuesKeepTheirTypesInAStoredSpec(t *testing.T) {
	text := strings.Replace(document, "%s", "UTC", 1)
	text = strings.Replace(text, "[%s]", `[{replace: {column: s, values: {"N/A": null, "1": "true", "": "2", "x y": 1.0, "a: b": "null"}}}]`, 1)
	spec, err := pipeline.Parse(pipeline.Catalog{pipeline.Steps: Catalog()}, "test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := pipeline.Render(spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pipeline.Parse(pipeline.Catalog{pipeline.Steps: Catalog()}, "rendered.yaml", rendered)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rendered)
	}
	check(t, "values", again.Spec.Preprocessing.Clean[0].Options.(*Replace).Values, spec.Spec.Preprocessing.Clean[0].Options.(*Replace).Values)
}
