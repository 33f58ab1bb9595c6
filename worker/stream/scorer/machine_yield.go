package scorer

import (
	"fmt"
	"maps"
	"slices"
)

// yield is what became of the events that were scored here, as far as a user
// should know of it.
type yield struct {
	rows   bool             // there was one
	barren int              // events since, all of them dead letters
	why    string           // of the last
	unfit  map[string]int64 // values, by column, that did not fit and are null
	notes  map[string]int64 // events, by what they do that a user should know
}

func (y *yield) observe(ev batchScored) {
	switch {
	case ev.dead < ev.records:
		y.rows, y.barren = true, 0
	case ev.dead > 0:
		y.barren, y.why = y.barren+ev.dead, ev.why
	}
	addCounts(&y.unfit, ev.unfit)
	addCounts(&y.notes, ev.notes)
}

func addCounts(to *map[string]int64, counts map[string]int64) {
	if *to == nil && len(counts) > 0 {
		*to = make(map[string]int64)
	}
	for name, n := range counts {
		(*to)[name] += n
	}
}

// messages says that no event becomes a row, where none ever did or many in a row
// did not, and of what values are lost.
func (y *yield) messages(committed int64) (out []string) {
	if y.barren >= rateMinimum || y.barren > 0 && !y.rows && committed == 0 {
		const most = 300
		out = append(out, fmt.Sprintf("none of the last %d events became a row, the last one for: %.*s", y.barren, most, y.why))
	}
	const columns, notes = 3, 3
	for i, note := range slices.Sorted(maps.Keys(y.notes)) {
		if i == notes {
			out = append(out, fmt.Sprintf("likewise of %d more tests and steps", len(y.notes)-notes))
			break
		}
		out = append(out, fmt.Sprintf("%d events %s", y.notes[note], note))
	}
	for i, column := range slices.Sorted(maps.Keys(y.unfit)) {
		if i == columns {
			out = append(out, fmt.Sprintf("likewise in %d more columns", len(y.unfit)-columns))
			break
		}
		out = append(out, fmt.Sprintf("%d values did not fit column %s and are null: no feature and no cleaning step of scoring reads it", y.unfit[column], column))
	}
	return out
}
