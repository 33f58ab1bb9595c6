package evaluation

import (
	"fmt"
	"math"
	"strings"

	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/search"
)

const (
	svgSide   = 320 // of the plot, in pixels
	svgMargin = 48
)

// SVG draws a curve whose first two columns are between 0 and 1, with its diagonal where
// that means something: a guess of roc, and a calibrated model of calibration.
func SVG(c metric.Curve) string {
	const side = svgSide + 2*svgMargin
	at := func(x, y float64) string {
		return fmt.Sprintf("%.1f,%.1f", svgMargin+float64(min(max(x, 0), 1)*svgSide), svgMargin+float64((1-min(max(y, 0), 1))*svgSide))
	}
	var w strings.Builder
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", side, side, side, side)
	fmt.Fprintf(&w, `<title>%s</title><rect width="%d" height="%d" fill="white"/>`+"\n", c.Name, side, side)
	for i := range 6 {
		tick := float64(i) / 5
		fmt.Fprintf(&w, `<polyline points="%s %s" stroke="#ddd" fill="none"/><polyline points="%s %s" stroke="#ddd" fill="none"/>`+"\n", at(tick, 0), at(tick, 1), at(0, tick), at(1, tick))
		fmt.Fprintf(&w, `<text x="%.1f" y="%d" text-anchor="middle">%.1f</text><text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n",
			svgMargin+float64(tick*svgSide), svgMargin+svgSide+16, tick, svgMargin-6, svgMargin+float64((1-tick)*svgSide)+4, tick)
	}
	if c.Name == "roc" || c.Name == "calibration" {
		fmt.Fprintf(&w, `<polyline points="%s %s" stroke="#999" stroke-dasharray="4" fill="none"/>`+"\n", at(0, 0), at(1, 1))
	}
	points := make([]string, len(c.Points))
	for i, p := range c.Points {
		points[i] = at(p[0], p[1])
	}
	fmt.Fprintf(&w, `<polyline points="%s" stroke="#06c" stroke-width="2" fill="none"/>`+"\n", strings.Join(points, " "))
	fmt.Fprintf(&w, `<text x="%d" y="%d" text-anchor="middle">%s</text><text x="14" y="%d" text-anchor="middle" transform="rotate(-90 14 %d)">%s</text>`+"\n</svg>\n",
		side/2, side-10, words(c.Columns[0]), side/2, side/2, words(c.Columns[1]))
	return w.String()
}

// words is the name of a column for people.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// SearchSVG draws the scores of a search's trials from left to right, and the best so far
// as a line. Those that failed are marked at the bottom, and those with a part of the
// budget are hollow.
func SearchSVG(r *search.Result) string {
	const width, height = 2*svgSide + 2*svgMargin, svgSide + 2*svgMargin
	numbers, found := r.Found()
	least, most := math.Inf(1), math.Inf(-1)
	for _, t := range r.Trials {
		if t.Score != nil {
			least, most = min(least, *t.Score), max(most, *t.Score)
		}
	}
	if least >= most { // a single score, or none
		least, most = least-0.5, least+0.5
	}
	x := func(number float64) float64 {
		return svgMargin + float64((number-0.5)/float64(len(r.Trials))*2*svgSide)
	}
	y := func(score float64) float64 { return svgMargin + float64((most-score)/(most-least)*svgSide) }
	var w strings.Builder
	fmt.Fprintf(&w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&w, `<title>%s of %d trials by %s</title><rect width="%d" height="%d" fill="white"/>`+"\n", words(r.Metric), len(r.Trials), words(r.Algorithm), width, height)
	for i := range 6 {
		score := least + float64(float64(i)/5*(most-least))
		fmt.Fprintf(&w, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.4g</text>`+"\n",
			svgMargin, y(score), width-svgMargin, y(score), svgMargin-4, y(score)+4, score)
	}
	for n := 1; n <= len(r.Trials); n += max(1, len(r.Trials)/10) {
		fmt.Fprintf(&w, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(float64(n)), svgMargin+svgSide+16, n)
	}
	var line []string
	for i, n := range numbers {
		line = append(line, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", x(float64(n)-0.5), y(found[i]), x(float64(n)+0.5), y(found[i])))
	}
	fmt.Fprintf(&w, `<polyline points="%s" stroke="#06c" stroke-width="2" fill="none"/>`+"\n", strings.Join(line, " "))
	for _, t := range r.Trials {
		at, fill, radius := x(float64(t.Number)), "#06c", 4
		switch {
		case t.Score == nil:
			fmt.Fprintf(&w, `<text x="%.1f" y="%d" text-anchor="middle" fill="#c00">×</text>`+"\n", at, svgMargin+svgSide-4)
			continue
		case t.Number == r.Best:
			fill, radius = "#c60", 7
		case t.Partial:
			fill = "white"
		}
		fmt.Fprintf(&w, `<circle cx="%.1f" cy="%.1f" r="%d" fill="%s" stroke="#06c"/>`+"\n", at, y(*t.Score), radius, fill)
	}
	fmt.Fprintf(&w, `<text x="%d" y="%d" text-anchor="middle">trial</text><text x="14" y="%d" text-anchor="middle" transform="rotate(-90 14 %d)">%s</text>`+"\n</svg>\n",
		width/2, height-10, height/2, height/2, words(r.Metric))
	return w.String()
}
