package clean

import (
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func TestTrimCountsRowsNotEntries(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string", "u", "string"), stepOf(&Trim{Columns: []string{"s", "u"}}))
	rows, rep := apply(t, c, mem,
		[]any{" JFK", "a"}, []any{"JFK", nil}, []any{" JFK", "a\t"}, []any{nil, "a"}, []any{"\u00a0\u2003", "b"})
	check(t, "rows", rows, [][]any{
		{"JFK", "a", int64(0)}, {"JFK", nil, int64(1)}, {"JFK", "a", int64(2)}, {nil, "a", int64(3)}, {"", "b", int64(4)}})
	check(t, "changed", rep.Changed, map[string]int64{"1 trim s": 3, "1 trim u": 1})
}

func TestEntriesThatBecomeEqualBecomeOne(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string"), stepOf(&Trim{Columns: []string{"s"}}))
	batch := tabletest.Batch(mem, c.Input(), 0, []any{"b"}, []any{" a"}, []any{"a "}, []any{"a"}, []any{"b "})
	defer batch.Release()
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	check(t, "dictionary", dictionary(out.Column(0)), []string{"b", "a"})
}

func TestOnlyEntriesInUseAreKeptOfADictionaryLongerThanTheColumn(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string"), stepOf(&Trim{Columns: []string{"s"}}))
	s := tabletest.Strings(mem, []string{"z ", "y ", " x", "x", "w "}, " x", nil, "x")
	defer s.Release()
	row := tabletest.Column(mem, "int64", int64(0), int64(1), int64(2))
	defer row.Release()
	batch := array.NewRecord(c.Input().Arrow(), []arrow.Array{s, row}, 3)
	defer batch.Release()
	rep := new(pipeline.Report)
	out, err := c.Apply(t.Context(), batch, rep)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	check(t, "rows", tabletest.Rows(out), [][]any{{"x", int64(0)}, {nil, int64(1)}, {"x", int64(2)}})
	check(t, "dictionary", dictionary(out.Column(0)), []string{"x"})
	check(t, "changed", rep.Changed, map[string]int64{"1 trim s": 1})
}

func TestIndicesAreSharedWhereNoEntriesMerge(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string"), stepOf(&Trim{Columns: []string{"s"}}))
	batch := tabletest.Batch(mem, c.Input(), 0, []any{"b "}, []any{" a"})
	defer batch.Release()
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	if out.Column(0).Data().Buffers()[1] != batch.Column(0).Data().Buffers()[1] {
		t.Error("the indices were copied")
	}
}
