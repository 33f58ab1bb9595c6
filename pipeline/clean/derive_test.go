package clean

import (
	"testing"
)

func TestDeriveAddsBeforeTheRowColumn(t *testing.T) {
	c, mem := chainOf(t, columns("delay", "int64"), stepOf(&Derive{Column: "late", Expression: "delay > 15"}))
	rows, rep := apply(t, c, mem, []any{int64(20)}, []any{nil}, []any{int64(15)})
	check(t, "rows", rows, [][]any{{int64(20), true, int64(0)}, {nil, nil, int64(1)}, {int64(15), false, int64(2)}})
	check(t, "changed", rep.Changed, map[string]int64{"1 derive late": 2})
	check(t, "schema", c.Schema(), columns("delay", "int64", "late", "bool"))
}

func TestDeriveReplacesAColumnInItsPlace(t *testing.T) {
	c, mem := chainOf(t, columns("delay", "int64", "s", "string"), stepOf(&Derive{Column: "delay", Expression: "delay > 15"}))
	rows, _ := apply(t, c, mem, []any{int64(20), "x"})
	check(t, "rows", rows, [][]any{{true, "x", int64(0)}})
	check(t, "schema", c.Schema(), columns("delay", "bool", "s", "string"))
}
