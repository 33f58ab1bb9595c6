package clean

import "testing"

func TestNormalizeTextCountsRowsAndKeepsBytesThatAreNoText(t *testing.T) {
	c, mem := chainOf(t, columns("s", "string"), stepOf(&NormalizeText{Columns: []string{"s"}, Form: "nfkc", CollapseSpace: true}))
	rows, rep := apply(t, c, mem, []any{"ﬁ \u00a0x"}, []any{nil}, []any{"ﬁ \u00a0x"}, []any{"fi x"}, []any{"\xff \t\xfe"}, []any{"\ufffd  "})
	check(t, "rows", rows, [][]any{{"fi x", int64(0)}, {nil, int64(1)}, {"fi x", int64(2)}, {"fi x", int64(3)}, {"\xff \xfe", int64(4)}, {"\ufffd ", int64(5)}})
	check(t, "changed", rep.Changed, map[string]int64{"1 normalize_text s": 4})
}
