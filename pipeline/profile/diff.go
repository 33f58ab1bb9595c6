package profile

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Diff is how two profiles differ.
type Diff struct {
	Version int         `json:"version"`
	Rows    Pair[int64] `json:"rows"`
	Columns []Change    `json:"columns"`
}

// Pair is something before and after.
type Pair[T any] struct {
	Before T `json:"before"`
	After  T `json:"after"`
}

// Change is how a column differs. That of a column which is not in both has no shares.
type Change struct {
	Name string           `json:"name"`
	Type Pair[table.Type] `json:"type"` // "" where it is not there
	// Nulls is the shares of null, and of values that are not a number.
	Nulls    Pair[float64] `json:"nulls"`
	Distinct Pair[int64]   `json:"distinct"`
	// PSI and JS are measures of package drift, missing where there is nothing to compare.
	PSI *float64 `json:"psi,omitempty"`
	JS  *float64 `json:"js,omitempty"`
}

// Bounds of what is compared: texts by the most frequent ones, numbers in bins of at
// least a share of the values before.
const (
	maxCompared = 50
	binShare    = 0.05
	// From which index on a change is some, and much.
	someShift, muchShift = 0.1, 0.25
)

// Compare returns how rows differ from those before: in the order of the columns
// before, then those that are new.
func Compare(before, after *Profile) *Diff {
	d := &Diff{Version: Version, Rows: Pair[int64]{before.Rows, after.Rows}}
	find := func(p *Profile, name string) *Column {
		if i := slices.IndexFunc(p.Columns, func(c Column) bool { return c.Name == name }); i >= 0 {
			return &p.Columns[i]
		}
		return nil
	}
	for i := range before.Columns {
		b := &before.Columns[i]
		c := Change{Name: b.Name}
		c.Type.Before = b.Type
		if a := find(after, b.Name); a != nil {
			c.Type.After = a.Type
			c.Nulls = Pair[float64]{missing(b, before.Rows), missing(a, after.Rows)}
			c.Distinct = Pair[int64]{b.Distinct, a.Distinct}
			c.PSI, c.JS = shift(b, a, before.Rows, after.Rows)
		}
		d.Columns = append(d.Columns, c)
	}
	for _, a := range after.Columns {
		if find(before, a.Name) == nil {
			d.Columns = append(d.Columns, Change{Name: a.Name, Type: Pair[table.Type]{After: a.Type}})
		}
	}
	return d
}

func missing(c *Column, rows int64) float64 {
	return float64(c.Nulls+c.NaN) / float64(max(rows, 1))
}

// shift returns both measures of a column.
func shift(b, a *Column, rowsBefore, rowsAfter int64) (psi, js *float64) {
	bins := binned(b, a, rowsBefore, rowsAfter)
	if bins == nil || rowsBefore == 0 || rowsAfter == 0 {
		return nil, nil
	}
	d := drift.Measure(bins, float64(rowsBefore), float64(rowsAfter))
	return &d.PSI, &d.JS
}

// binned returns how many rows of each are in each bin; the last bins are of what has
// no value and of what is in no other. nil: they cannot be compared.
func binned(b, a *Column, rowsBefore, rowsAfter int64) (bins [][2]float64) {
	none := [2]float64{float64(b.Nulls + b.NaN), float64(a.Nulls + a.NaN)}
	numeric := func(c *Column) bool { return c.Numbers != nil }
	empty := func(c *Column, rows int64) bool { return c.Nulls+c.NaN == rows }
	switch {
	case b.Unsupported || a.Unsupported || (b.Type == table.Timestamp) != (a.Type == table.Timestamp) && numeric(a) && numeric(b):
		return nil
	case empty(b, rowsBefore) || empty(a, rowsAfter):
		return [][2]float64{none, {float64(rowsBefore) - none[0], float64(rowsAfter) - none[1]}}
	case numeric(b) && numeric(a) && b.Type != table.Bool:
		bins = ranges(b.Numbers.Cells, a.Numbers.Cells)
		bins[0][0], bins[0][1] = bins[0][0]+float64(b.MinusInfinity), bins[0][1]+float64(a.MinusInfinity)
		last := &bins[len(bins)-1]
		last[0], last[1] = last[0]+float64(b.PlusInfinity), last[1]+float64(a.PlusInfinity)
		return append(bins, none)
	case b.Type != a.Type || len(b.Top) == 0 || len(a.Top) == 0:
		return nil
	}
	other := [2]float64{float64(rowsBefore) - none[0], float64(rowsAfter) - none[1]}
	for _, v := range b.Top[:min(len(b.Top), maxCompared)] {
		n := [2]float64{float64(v.Count), 0}
		if i := slices.IndexFunc(a.Top, func(x Value) bool { return x.Value == v.Value }); i >= 0 {
			n[1] = float64(a.Top[i].Count)
		}
		bins = append(bins, n)
		other[0], other[1] = other[0]-n[0], other[1]-n[1]
	}
	return append(bins, other, none)
}

// ranges returns how many values are in ranges that have enough of those before.
func ranges(before, after []Cell) (bins [][2]float64) {
	var all int64
	for _, c := range before {
		all += c.Count
	}
	low := math.Inf(-1)
	var open int64
	for i, c := range before {
		open += c.Count
		if i < len(before)-1 && float64(open) < binShare*float64(all) {
			continue
		}
		high := c.To
		if i == len(before)-1 {
			high = math.Inf(1)
		}
		var n float64
		for _, other := range after {
			n += other.within(low, high)
		}
		bins = append(bins, [2]float64{float64(open), n})
		low, open = high, 0
	}
	return bins
}

// within returns how many of the values are more than low and not more than high, as if
// they lay evenly from the first to the last.
func (c Cell) within(low, high float64) float64 {
	switch {
	case c.From > low && c.To <= high:
		return float64(c.Count)
	case c.To <= low || c.From > high:
		return 0
	}
	width := float64(c.To/2) - float64(c.From/2)
	part := float64(min(c.To, high)/2) - float64(max(c.From, low)/2)
	return float64(float64(c.Count) * min(max(part/width, 0), 1))
}

// Says tells of the change in a few words, "" where there is none.
func (c *Change) Says() string {
	var out []string
	switch {
	case c.Type.After == "":
		return "gone"
	case c.Type.Before == "":
		return "new"
	case c.Type.Before != c.Type.After:
		out = append(out, fmt.Sprintf("was %s", c.Type.Before))
	}
	switch {
	case c.PSI == nil:
		out = append(out, "not compared")
	case *c.PSI >= muchShift:
		out = append(out, "much has shifted")
	case *c.PSI >= someShift:
		out = append(out, "some has shifted")
	}
	return strings.Join(out, ", ")
}

// WriteTable writes the difference for people, as lines of cells with tabs between.
func (d *Diff) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "%s rows, %s before\n\n", humanize.Comma(d.Rows.After), humanize.Comma(d.Rows.Before))
	fmt.Fprintln(w, strings.Join([]string{"COLUMN", "TYPE", "NULLS BEFORE", "AFTER", "DISTINCT BEFORE", "AFTER", "PSI", "JS", ""}, "\t"))
	for _, c := range d.Columns {
		fmt.Fprintln(w, strings.Join(c.cells(), "\t"))
	}
}

// cells returns what a table has of a change.
func (c *Change) cells() []string {
	out := []string{shown(c.Name), string(c.Type.After), "-", "-", "-", "-", "-", "-", c.Says()}
	if c.Type.After == "" {
		out[1] = string(c.Type.Before)
	}
	if c.Type.Before != "" && c.Type.After != "" {
		out[2], out[3] = percent(c.Nulls.Before), percent(c.Nulls.After)
		out[4], out[5] = humanize.Comma(c.Distinct.Before), humanize.Comma(c.Distinct.After)
	}
	if c.PSI != nil {
		out[6], out[7] = fmt.Sprintf("%.4f", *c.PSI), fmt.Sprintf("%.4f", *c.JS)
	}
	return out
}
