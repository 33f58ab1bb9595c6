package profile

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/dustin/go-humanize"
)

//go:embed page.html
var pageText string

// page is all that a page has. Names and values reach it as text, which the template
// escapes for where they stand.
type page struct {
	Title   string
	Rows    string
	Columns []pageColumn
	Changes [][]string
}

type pageColumn struct {
	Name, Type string
	Facts      []fact
	Notes      []string
	Bars       []bar
	Top        []bar
}

type fact struct{ Name, Value string }

// bar is one of a plot of 100 by 100, and what it says.
type bar struct {
	X, Y, Width, Height float64
	Says, Count         string
}

// WriteHTML writes the profile as one page that needs nothing else, with how it differs
// from another, if d is not nil.
func (p *Profile) WriteHTML(w io.Writer, title string, d *Diff) error {
	parsed, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	out := page{Title: oneLine(title, maxText), Rows: p.size()}
	if d != nil {
		for _, c := range d.Columns {
			out.Changes = append(out.Changes, c.cells())
		}
	}
	for i := range p.Columns {
		out.Columns = append(out.Columns, p.page(&p.Columns[i]))
	}
	return parsed.Execute(w, out)
}

// page returns what a page has of a column.
func (p *Profile) page(c *Column) pageColumn {
	out := pageColumn{Name: shown(c.Name), Type: string(c.Type), Notes: c.notes()}
	if c.Unsupported {
		out.Notes = []string{"is not read"}
		return out
	}
	out.Facts = []fact{{"nulls", humanize.Comma(c.Nulls) + " (" + p.share(c.Nulls) + ")"}, {"distinct", c.distinct()}}
	names := []string{"minimum", "first quarter", "median", "third quarter", "maximum", "mean", "deviation"}
	for i, text := range c.distribution() {
		if text != "-" {
			out.Facts = append(out.Facts, fact{names[i], text})
		}
	}
	if t := c.Text; t != nil {
		out.Facts = append(out.Facts, fact{"characters", fmt.Sprintf("%d to %d, mean %.4g", t.Shortest, t.Longest, t.MeanLength)})
	}
	if c.Numbers != nil {
		out.Bars = c.bars(&c.Numbers.Histogram)
	}
	for i, v := range c.Top[:min(len(c.Top), 10)] {
		width := 100 * float64(v.Count) / float64(c.Top[0].Count)
		out.Top = append(out.Top, bar{0, float64(10 * i), width, 8, shown(v.Value), humanize.Comma(v.Count) + " (" + p.share(v.Count) + ")"})
	}
	return out
}

// bars returns those of a histogram, with what lies outside in one each.
func (c *Column) bars(h *Histogram) (out []bar) {
	counts := append(append([]int64{h.Below}, h.Counts...), h.Above)
	most := int64(1)
	for _, n := range counts {
		most = max(most, n)
	}
	for i, n := range counts {
		says := "below " + c.format(h.From)
		switch {
		case i == len(counts)-1:
			says = "above " + c.format(h.To)
		case i > 0:
			says = c.format(h.Edge(i-1)) + " to " + c.format(h.Edge(i))
		}
		height := 100 * float64(n) / float64(most)
		width := 100 / float64(len(counts))
		out = append(out, bar{width * float64(i), 100 - height, width * 0.9, height, says, humanize.Comma(n)})
	}
	return out
}
