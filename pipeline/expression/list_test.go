package expression_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var listColumns = table.Schema{Columns: []table.Column{
	{Name: "v", Type: table.Float64List, Nullable: true}, {Name: "n", Type: table.Int64List, Nullable: true},
	{Name: "b", Type: table.BoolList, Nullable: true}, {Name: "i", Type: table.Int64, Nullable: true},
}}

func TestElementsAndLengthsOfLists(t *testing.T) {
	type l = []any
	whole := tabletest.Batch(memory.DefaultAllocator, listColumns, 0,
		[]any{l{9.0}, l{int64(9)}, l{true}, int64(0)},
		[]any{l{0.5, nil, math.NaN()}, l{int64(1), int64(2)}, l{true, false}, int64(1)},
		[]any{l{}, nil, l{nil}, int64(0)},
		[]any{nil, l{}, l{false}, int64(-1)},
		[]any{l{4.0, 5.0}, l{nil, int64(7)}, nil, nil})
	defer whole.Release()
	batch := whole.NewSlice(1, 5) // so that offsets do not begin at 0
	defer batch.Release()
	for source, want := range map[string][]any{
		"len(v)":                     {int64(3), int64(0), nil, int64(2)},
		"v[0]":                       {0.5, nil, nil, 4.0},
		"v[1] ?? 8":                  {8.0, 8.0, 8.0, 5.0},
		"v[-1]":                      {nil, nil, nil, 5.0},
		"v[2] == null":               {true, true, true, true},
		"v == null":                  {false, false, true, false},
		"v != null and len(v) > 2":   {true, false, false, false},
		"n[i]":                       {int64(2), nil, nil, nil},
		"n[1] + len(n)":              {int64(4), nil, nil, int64(9)},
		"b[0]":                       {true, nil, false, nil},
		"b[0] ? v[0] : -1.0":         {0.5, nil, -1.0, nil},
		"n[9223372036854775807]":     {nil, nil, nil, nil},
		"n[-9223372036854775807]":    {nil, nil, nil, nil},
		"string(n[-1])":              {"2", nil, nil, "7"},
		"len(v) in [2, 3]":           {true, false, nil, true},
		"v[0] * 2 > 0 and n[0] != 5": {true, nil, nil, nil},
		"v":                          {l{0.5, nil, "NaN"}, l{}, nil, l{4.0, 5.0}},
	} {
		p, err := expression.Compile(source, listColumns, nil)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		a, err := p.Eval(batch)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got := make([]any, a.Len())
		for i := range got {
			got[i] = tabletest.Value(a, i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", source, diff)
		}
		a.Release()
	}
}

func TestListsAreNoValues(t *testing.T) {
	for source, want := range map[string]string{
		"v == v":           "the sides of == cannot be lists",
		"v < n":            "the sides of < cannot be lists",
		"v ?? v":           "the values of ?? cannot be lists",
		"coalesce(v, v)":   "the values of coalesce cannot be lists",
		"i > 0 ? v : v":    "the branches of ?: cannot be lists",
		"v in [1]":         "what stands before in cannot be lists",
		"v + 1":            "takes two numbers or two strings, and v is a list<float64> (take an element, x[0], or the length, len(x))",
		"-v":               "takes a number, and v is a list<float64>",
		"not b":            "takes a bool, and b is a list<bool>",
		"lower(v)":         "takes a string, and v is a list<float64>",
		"string(v)":        "and v is a list<float64>",
		"max(v, 1)":        "takes numbers, and v is a list<float64>",
		"len(i)":           "len takes a string or a list, and i is an int64",
		"v[0][0]":          "a float64 has no parts",
		`v["a"]`:           "takes an int64, not a string",
		"v[0.5]":           "takes an int64, not a float64",
		"v[null]":          "takes an int64, not null",
		"v[0:1]":           "takes a string, not a list<float64>",
		"v matches 'a'":    "takes a string, and v is a list<float64>",
		"v contains 'a'":   "takes two strings, and v is a list<float64>",
		"split(v, 'a')[0]": "takes a string, not a list<float64>",
		"1 in v":           "behind in stands a list of literals",
		"[1, 2][0]":        "a list can only stand behind in",
	} {
		if _, err := expression.Compile(source, listColumns, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
