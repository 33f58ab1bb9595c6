package pipeline

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
)

// columnFrom checks that a column can be filled from the record around an event.
func (v validator) columnFrom(path string, c ColumnSpec) {
	want := c.Type
	switch c.From {
	case "":
		return
	case "timestamp":
		want = table.Timestamp
	case "offset", "partition":
		want = table.Int64
	}
	if c.Type != want {
		v.Problem(path, "declare the column as "+string(want), "the %s of a record is of type %s, not %s", c.From, want, c.Type)
	}
	if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InScoring) {
		v.Problem(path, "leave it out, or add scoring to available_in", "a column of training only is not filled from records")
	}
}
