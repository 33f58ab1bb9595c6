package evaluation

import (
	"fmt"
	"strings"

	"github.com/thalweg/thalweg/pipeline/metric"
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
