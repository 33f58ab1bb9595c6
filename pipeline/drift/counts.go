package drift

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/thalweg/thalweg/pipeline/summary"
)

// Counts are how many rows are in each bin of a reference, in the order of its bins. Those of
// parts of the rows add up to those of all, whatever the parts. Nil: of no rows yet.
type Counts []int64

// Rows is how many rows are counted.
func (c Counts) Rows() (n int64) {
	for _, k := range c {
		n += k
	}
	return n
}

// Add counts n rows in one of so many bins.
func (c *Counts) Add(bins, bin int, n int64) {
	if *c == nil {
		*c = make(Counts, bins)
	}
	(*c)[bin] += n
}

// Merge adds the counts of other rows in the same bins.
func (c *Counts) Merge(o Counts) error {
	if *c == nil {
		*c = slices.Clone(o)
		return nil
	}
	if o != nil && len(o) != len(*c) {
		return fmt.Errorf("%d bins and %d are not of one reference", len(*c), len(o))
	}
	for i, n := range o {
		(*c)[i] += n
	}
	return nil
}

// missingBin is that of values that are null or not a number.
const missingBin = 0

// byText reports whether texts have bins by name; else they are counted by hash.
func (r *Reference) byText() bool { return len(r.Texts) > 0 }

// Bins is how many bins there are: that of missing values, and those of numbers, or of texts
// and of all others, or of hashes.
func (r *Reference) Bins() int {
	switch {
	case r.Counts != nil:
		return 1 + len(r.Counts)
	case r.byText():
		return 2 + len(r.Texts)
	}
	return 1 + len(r.Buckets)
}

// InBins returns the rows of the reference itself.
func (r *Reference) InBins() Counts {
	out := Counts{r.Missing}
	switch {
	case r.Counts != nil:
		return append(out, r.Counts...)
	case r.byText():
		others := r.Rows - r.Missing
		for _, t := range r.Texts {
			out, others = append(out, t.Count), others-t.Count
		}
		return append(out, others)
	}
	return append(out, r.Buckets...)
}

// Numeric reports whether the reference is of numbers.
func (r *Reference) Numeric() bool { return r.Counts != nil }

// Number returns the bin of a number, of a reference of numbers.
func (r *Reference) Number(x float64) int {
	if x != x {
		return missingBin
	}
	if x-x != 0 { // infinite
		if x < 0 {
			return 1
		}
		return len(r.Counts)
	}
	at, exact := slices.BinarySearch(r.Edges, x)
	if exact {
		at++
	}
	return 1 + at
}

// Text returns what tells the bin of a text, of a reference of texts.
func (r *Reference) Text() func(text string) int {
	if !r.byText() {
		return func(text string) int { return 1 + summary.Bucket(text) }
	}
	bins := make(map[string]int, len(r.Texts))
	for i, t := range r.Texts {
		bins[t.Text] = 1 + i
	}
	return func(text string) int {
		if bin, ok := bins[text]; ok {
			return bin
		}
		return 1 + len(r.Texts)
	}
}

// MissingBin is the bin of what has no value.
func (r *Reference) MissingBin() int { return missingBin }

// Name says what a bin has, for people.
func (r *Reference) Name(bin int) string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	switch {
	case bin == missingBin:
		return "missing"
	case r.Counts == nil && !r.byText():
		return fmt.Sprintf("texts of hash %d", bin-1)
	case r.Counts == nil && bin <= len(r.Texts):
		return r.Texts[bin-1].Text
	case r.Counts == nil:
		return "other texts"
	case len(r.Edges) == 0:
		return "any number"
	case bin == 1:
		return "below " + number(r.Edges[0])
	case bin == len(r.Counts):
		return "from " + number(r.Edges[len(r.Edges)-1])
	}
	low, high := r.Edges[bin-2], r.Edges[bin-1]
	if math.Nextafter(low, math.Inf(1)) == high {
		return number(low)
	}
	return number(low) + " to " + number(high)
}
