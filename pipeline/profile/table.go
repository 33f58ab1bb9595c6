package profile

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/pipeline/table"
)

// maxShown bounds the characters of a value in a table.
const maxShown = 24

// shown writes a name or a value in a cell, whatever is in it.
func shown(s string) string { return oneLine(s, maxShown) }

// oneLine writes a text on one line of at most so many characters.
func oneLine(s string, most int) string {
	if quoted := strconv.Quote(s); s == "" || s != strings.TrimSpace(s) || quoted != `"`+s+`"` && strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) >= 0 {
		s = quoted
	}
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	return s
}

// WriteTable writes the profile for people, as lines of cells with tabs between.
func (p *Profile) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", p.size())
	line := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "P25", "MEDIAN", "P75", "MAX", "MEAN", "DEVIATION", "MOST FREQUENT")
	for _, c := range p.Columns {
		cells := []string{shown(c.Name), string(c.Type), p.share(c.Nulls)}
		if c.Unsupported {
			line(append(cells[:2], "not read")...)
			continue
		}
		cells = append(cells, c.distinct())
		cells = append(cells, c.distribution()...)
		top := "-"
		if len(c.Top) > 0 && (c.Top[0].Count > 1 || c.Distinct == 1) {
			top = shown(c.Top[0].Value) + " " + p.share(c.Top[0].Count)
		}
		line(append(cells, top)...)
	}
	p.writeAssociations(line)
	for _, c := range p.Columns {
		for _, text := range c.notes() {
			fmt.Fprintf(w, "%s: %s\n", shown(c.Name), text)
		}
	}
}

// size says how many rows there are, and how many of them are duplicates.
func (p *Profile) size() string {
	about := map[bool]string{true: "", false: "about "}
	return fmt.Sprintf("%s rows, %s%s of them duplicates", humanize.Comma(p.Rows), about[p.DuplicatesExact], humanize.Comma(p.Duplicates))
}

func (c *Column) distinct() string {
	if c.DistinctExact {
		return humanize.Comma(c.Distinct)
	}
	return "~" + humanize.Comma(c.Distinct)
}

// writeAssociations writes what columns tell of the label, those first that tell most.
func (p *Profile) writeAssociations(line func(cells ...string)) {
	if p.Label == "" {
		return
	}
	var all []Column
	for _, c := range p.Columns {
		if c.Association != nil {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Column) int { return cmp.Compare(b.Association.Share, a.Association.Share) })
	number := func(x *float64) string {
		if x == nil {
			return "-"
		}
		return fmt.Sprintf("%.4f", *x)
	}
	line()
	line("OF "+shown(p.Label), "CORRELATION", "MUTUAL INFORMATION", "OF ITS ENTROPY", "ALONE")
	for _, c := range all {
		a := c.Association
		line(shown(c.Name), number(a.Correlation), fmt.Sprintf("%.4f bits", a.MutualInformation), percent(a.Share), number(a.Alone))
	}
	line()
}

// distribution returns the cells from MIN to DEVIATION.
func (c *Column) distribution() []string {
	out := []string{"-", "-", "-", "-", "-", "-", "-"}
	if c.Min != "" || c.Max != "" || c.Text != nil {
		out[0], out[4] = shown(c.Min), shown(c.Max)
	}
	if c.Numbers == nil {
		return out
	}
	for i, at := range []int{3, 4, 5} {
		out[1+i] = c.format(c.Numbers.Quantiles[at].Value)
	}
	out[5], out[6] = c.format(c.Numbers.Mean), fmt.Sprintf("%.5g", c.Numbers.Deviation)
	if c.Type == table.Timestamp {
		out[6] = fmt.Sprintf("%.4g days", c.Numbers.Deviation/86_400e6)
	}
	return out
}

// format writes a number of a column for people.
func (c *Column) format(x float64) string {
	if c.Type == table.Timestamp {
		return time.UnixMicro(int64(x)).UTC().Format("2006-01-02T15:04:05Z")
	}
	return fmt.Sprintf("%.6g", x)
}

// notes say in a line each what is odd about a column.
func (c *Column) notes() (out []string) {
	if n := c.NaN; n > 0 {
		out = append(out, humanize.Comma(n)+" values are not a number (NaN)")
	}
	if n := c.MinusInfinity + c.PlusInfinity; n > 0 {
		out = append(out, humanize.Comma(n)+" values are infinite")
	}
	if c.Type.Element() != "" && c.Numbers != nil {
		out = append(out, "what is shown is the lengths of its lists")
	}
	if t := c.Text; t != nil && t.Empty > 0 {
		out = append(out, humanize.Comma(t.Empty)+" texts are empty")
	}
	if t := c.Text; t != nil && t.Likely != "" {
		out = append(out, fmt.Sprintf("its texts are %s (%s)", t.Likely, percent(t.LikelyShare)))
	}
	for _, s := range c.Suspects {
		out = append(out, fmt.Sprintf("%s (%s confidence)", s.Why, s.Confidence))
	}
	return out
}

// share writes a number of rows as a share of all.
func (p *Profile) share(n int64) string {
	if p.Rows == 0 || n == 0 {
		return "0"
	}
	return percent(float64(n) / float64(p.Rows))
}

// percent writes a share so that neither none nor all is claimed where it is not so.
func percent(share float64) string {
	switch {
	case share > 0 && share < 0.0005:
		return "<0.1 %"
	case share < 1 && share > 0.9995:
		return ">99.9 %"
	}
	return fmt.Sprintf("%.3g %%", 100*share)
}
