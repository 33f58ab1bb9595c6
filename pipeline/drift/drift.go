// Package drift says how far rows are from those that a version was trained on: a reference
// of each column, in bins that training has fixed, and measures of the distance. It has the
// same bits whatever order rows come in.
package drift

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/summary"
)

const (
	// Ten bins are what the usual bounds of the index were found for.
	cells = 10
	// A text has a bin of its own if a share of the values is it, of the most frequent ones:
	// bins of few rows would differ by chance.
	leastShare = 0.01
	mostTexts  = 20
)

// Reference is the values of a column that a version was trained on, in bins.
type Reference struct {
	// Rows are all of them, of which Missing have no value, or one that is not a number.
	Rows    int64 `json:"rows"`
	Missing int64 `json:"missing"`
	// Edges are where the second and later bins of numbers begin; Counts is one longer.
	Edges  []float64 `json:"edges,omitempty"`
	Counts []int64   `json:"counts,omitempty"`
	// Texts are the most frequent texts, the most frequent first; none where they are too many
	// or each is rare. Buckets counts all by hash.
	Texts   []Text  `json:"texts,omitempty"`
	Buckets []int64 `json:"buckets,omitempty"`
}

// Text is a text and how often it was there.
type Text struct {
	Text  string `json:"text"`
	Count int64  `json:"count"`
}

// New returns the reference of values.
func New(d *summary.Distribution) *Reference {
	r := &Reference{Rows: d.Rows(), Missing: d.Missing}
	if d.Numbers == nil {
		r.Buckets = slices.Clone(d.Buckets)
		for text, n := range d.Texts {
			r.Texts = append(r.Texts, Text{text, n})
		}
		slices.SortFunc(r.Texts, func(a, b Text) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text)) })
		r.Texts = r.Texts[:min(len(r.Texts), mostTexts)]
		r.Texts = slices.DeleteFunc(r.Texts, func(t Text) bool { return float64(t.Count) < leastShare*float64(r.Rows) })
		return r
	}
	if d.Numbers.Count() > 0 {
		r.Edges = edges(d.Numbers)
	}
	r.Counts = r.numbers(d)
	return r
}

// edges are about the deciles. A number that more than one of them falls on has a bin of
// its own.
func edges(of *summary.Quantiles) (out []float64) {
	var below int64
	step := max(1, of.Count()/cells)
	for value, n := range of.Points() {
		if below/step != (below+n)/step && (below > 0 || n >= step) {
			out = append(out, value)
			if next := math.Nextafter(value, math.Inf(1)); n >= step && next <= math.MaxFloat64 {
				out = append(out, next)
			}
		}
		below += n
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// numbers counts numbers in the bins.
func (r *Reference) numbers(d *summary.Distribution) []int64 {
	counts := make([]int64, len(r.Edges)+1)
	for value, n := range d.Numbers.Points() {
		at, exact := slices.BinarySearch(r.Edges, value)
		if exact {
			at++
		}
		counts[at] += n
	}
	counts[0] += d.Infinite[0]
	counts[len(counts)-1] += d.Infinite[1]
	return counts
}

// Compare returns how far values are from those of the reference. It fails where one are
// numbers and the other texts, or there are none.
func (r *Reference) Compare(d *summary.Distribution) (Distance, error) {
	if r.Rows == 0 || d.Rows() == 0 {
		return Distance{}, errors.New("there are no rows")
	}
	if (r.Counts != nil) != (d.Numbers != nil) {
		return Distance{}, errors.New("one are numbers, and the other texts")
	}
	bins := [][2]float64{{float64(r.Missing), float64(d.Missing)}}
	add := func(before, after int64) { bins = append(bins, [2]float64{float64(before), float64(after)}) }
	switch {
	case r.Counts != nil:
		for i, n := range r.numbers(d) {
			add(r.Counts[i], n)
		}
	case len(r.Texts) > 0 && !d.Many:
		before, after := r.Rows-r.Missing, d.Rows()-d.Missing
		for _, t := range r.Texts {
			n := d.Texts[t.Text]
			add(t.Count, n)
			before, after = before-t.Count, after-n
		}
		add(before, after)
	default:
		for i, n := range r.Buckets {
			add(n, d.Buckets[i])
		}
	}
	return Measure(bins, float64(r.Rows), float64(d.Rows())), nil
}

// Check reports a reference that no values have.
func (r *Reference) Check() error {
	known := r.Rows - r.Missing
	all := slices.Concat(r.Counts, r.Buckets)
	for _, n := range all {
		if n < 0 || n > known {
			return fmt.Errorf("%d of %d rows in a bin", n, r.Rows)
		}
		known -= n
	}
	switch {
	case r.Missing < 0 || known != 0:
		return fmt.Errorf("its bins have not the %d rows", r.Rows)
	case (r.Counts == nil) == (len(r.Buckets) != summary.Buckets), r.Counts != nil && len(r.Counts) != len(r.Edges)+1,
		len(r.Texts) > mostTexts, !slices.IsSorted(r.Edges):
		return errors.New("its bins are neither of numbers nor of texts")
	}
	return nil
}

// Distance is how far values are from others, by two measures.
type Distance struct {
	// PSI is the population stability index, the sum of (after-before)·ln(after/before) over
	// bins: below 0.1 little has changed, above 0.25 much.
	PSI float64
	// JS is the Jensen-Shannon divergence, from 0 (the same) to 1 (nothing in common).
	JS float64
}

// Measure returns the distance of rows in bins, before and after, of which there are so
// many.
func Measure(bins [][2]float64, before, after float64) (d Distance) {
	for _, n := range bins {
		// Half a row more in each bin, so that an empty one has a logarithm.
		more := float64(float64(len(bins)) / 2) // rounded before it is added
		p, q := (n[0]+0.5)/(before+more), (n[1]+0.5)/(after+more)
		d.PSI += float64((q - p) * kernel.Log(q/p))
		p, q = n[0]/before, n[1]/after
		for _, share := range []float64{p, q} {
			if share > 0 {
				d.JS += float64(share / 2 * (kernel.Log(2*share/(p+q)) / math.Ln2))
			}
		}
	}
	d.JS = min(max(d.JS, 0), 1)
	return d
}
