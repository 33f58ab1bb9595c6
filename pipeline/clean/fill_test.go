package clean

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline/table"
)

func TestFillPutsTheConstantWhereAValueIsMissing(t *testing.T) {
	for _, tc := range []struct {
		typ   table.Type
		value any // of the spec
		there any
		want  any
	}{
		{table.String, "<MISSING>", "JFK", "<MISSING>"},
		{table.String, "JFK", "JFK", "JFK"},
		{table.Int64, -1, int64(4), int64(-1)},
		{table.Int64, uint64(7), int64(4), int64(7)},
		{table.Int64, 2.0, int64(4), int64(2)},
		{table.Float64, 0.5, 4.0, 0.5},
		{table.Float64, 3, 4.0, 3.0},
		{table.Bool, true, false, true},
		{table.Bool, false, true, false},
		{table.Timestamp, "1970-01-01T00:00:01Z", int64(4), int64(1e6)},
	} {
		c, mem := chainOf(t, columns("c", string(tc.typ)), stepOf(&Fill{
			Columns: []string{"c"}, Strategy: "fill_with_const", Value: tc.value}))
		rows, rep := apply(t, c, mem, []any{nil}, []any{tc.there}, []any{nil})
		check(t, string(tc.typ), rows, [][]any{{tc.want, int64(0)}, {tc.there, int64(1)}, {tc.want, int64(2)}})
		check(t, string(tc.typ)+" changed", rep.Changed, map[string]int64{"1 fill c": 2})
		if c.Schema().Columns[0].Nullable {
			t.Errorf("%s: a filled column is still nullable", tc.typ)
		}
	}
}

func TestFillTakesNaNForMissing(t *testing.T) {
	c, mem := chainOf(t, columns("f", "float64"), stepOf(&Fill{
		Columns: []string{"f"}, Strategy: "fill_with_const", Value: 0}))
	rows, rep := apply(t, c, mem, []any{math.NaN()}, []any{math.Inf(1)})
	check(t, "rows", rows, [][]any{{0.0, int64(0)}, {math.Inf(1), int64(1)}})
	check(t, "changed", rep.Changed, map[string]int64{"1 fill f": 1})
}

func TestFillDropsARowOnceByItsFirstMissingColumn(t *testing.T) {
	c, mem := chainOf(t, columns("a", "int64", "b", "string"), stepOf(&Fill{
		Columns: []string{"a", "b"}, Strategy: "drop_row"}))
	rows, rep := apply(t, c, mem, []any{nil, nil}, []any{int64(1), nil}, []any{int64(2), "x"})
	check(t, "rows", rows, [][]any{{int64(2), "x", int64(2)}})
	check(t, "dropped", rep.Dropped, map[string]int64{"1 fill: a is missing": 1, "1 fill: b is missing": 1})
}
