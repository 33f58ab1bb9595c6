package engine

import (
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// TestMergedRecordsHoldBothsRows compares, value by value, with nulls and
// dictionaries that differ, and with slices.
func TestMergedRecordsHoldBothsRows(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{
		{Name: "s", Type: table.String, Nullable: true}, {Name: "i", Type: table.Int64, Nullable: true}, {Name: "f", Type: table.Float64, Nullable: true},
		{Name: "b", Type: table.Bool, Nullable: true}, {Name: "t", Type: table.Timestamp, Nullable: true},
		{Name: "l", Type: table.Float64List, Nullable: true},
	}}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) arrow.Record {
			var rows [][]any
			for range rapid.IntRange(1, 40).Draw(rt, name) {
				row := []any{rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(rt, "s"), rapid.Int64().Draw(rt, "i"),
					rapid.Float64().Draw(rt, "f"), rapid.Bool().Draw(rt, "b"), rapid.Int64Range(0, 1<<50).Draw(rt, "t"),
					[][]any{{}, {0.5, nil}, {1.0, 2.0, 3.0}}[rapid.IntRange(0, 2).Draw(rt, "l")]}
				for i := range row {
					if rapid.IntRange(0, 4).Draw(rt, "null") == 0 {
						row[i] = nil
					}
				}
				rows = append(rows, row)
			}
			whole := tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
			defer whole.Release()
			from := rapid.Int64Range(0, whole.NumRows()-1).Draw(rt, "from")
			return whole.NewSlice(from, rapid.Int64Range(from+1, whole.NumRows()).Draw(rt, "to"))
		}
		a, b := draw("a"), draw("b")
		defer a.Release()
		defer b.Release()
		both, err := concat(a, b)
		if err != nil {
			rt.Fatal(err)
		}
		defer both.Release()
		for j := range int(both.NumCols()) {
			for i := range int(both.NumRows()) {
				from, at := a, i
				if i >= int(a.NumRows()) {
					from, at = b, i-int(a.NumRows())
				}
				got, want := both.Column(j), from.Column(j)
				if got.IsNull(i) != want.IsNull(at) || !got.IsNull(i) && got.ValueStr(i) != want.ValueStr(at) {
					rt.Fatalf("column %s, row %d: %s, want %s", both.ColumnName(j), i, got.ValueStr(i), want.ValueStr(at))
				}
			}
			if d, ok := both.Column(j).(*array.Dictionary); ok && d.Dictionary().Len() > 6 {
				rt.Fatalf("%d dictionary entries", d.Dictionary().Len())
			}
		}
	})
}
