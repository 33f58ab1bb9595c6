package clean

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline"
)

func TestFilterKeepsTrueAndNamesWhatItRemoves(t *testing.T) {
	c, mem := chainOf(t, columns("delay", "int64"), stepOf(&Filter{Expression: "delay > 15"}))
	rows, rep := apply(t, c, mem, []any{int64(20)}, []any{nil}, []any{int64(15)}, []any{int64(16)})
	check(t, "rows", rows, [][]any{{int64(20), int64(0)}, {int64(16), int64(3)}})
	check(t, "dropped", rep.Dropped, map[string]int64{"1 filter: delay > 15": 2})
	check(t, "removed", rep.Removed, []pipeline.Removal{
		{Row: 1, Stage: "1 filter", Reason: "1 filter: delay > 15"},
		{Row: 2, Stage: "1 filter", Reason: "1 filter: delay > 15"}})
	check(t, "rows in and out", []int64{rep.RowsIn, rep.RowsOut}, []int64{4, 2})
}
