// Package profile says what rows hold: of each column its values, their distribution
// and what is odd about them. It holds memory that is bounded whatever the rows are,
// and a profile is the same bytes in whatever order rows come and however they are
// divided into parts that are merged.
package profile

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Version is that of the form of a Profile.
const Version = 1

// Bounds of what a profile shows of a column.
const (
	maxTop   = 100
	maxBins  = 20
	maxCells = 100
)

// shares are the quantiles of a profile.
var shares = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99}

// Profile is what rows hold.
type Profile struct {
	Version int   `json:"version"`
	Rows    int64 `json:"rows"`
	// Duplicates is how many rows repeat an earlier one in all columns that are profiled:
	// exact up to 65,536 different rows, else estimated from as many of them, chosen by
	// their hashes.
	Duplicates      int64 `json:"duplicates"`
	DuplicatesExact bool  `json:"duplicates_exact"`
	// Label is the column that the others are compared with, if any.
	Label   string   `json:"label,omitempty"`
	Columns []Column `json:"columns"`
}

// Column is what a column holds. Of a list, that is how long it is.
type Column struct {
	Name string     `json:"name"`
	Type table.Type `json:"type"`
	// Unsupported: the column has a type that no canonical one can carry, and only that
	// is known of it.
	Unsupported bool  `json:"unsupported,omitempty"`
	Nulls       int64 `json:"nulls"`
	// NaN and the infinite ones are counted here alone.
	NaN           int64 `json:"nan,omitempty"`
	MinusInfinity int64 `json:"minus_infinity,omitempty"`
	PlusInfinity  int64 `json:"plus_infinity,omitempty"`
	// Distinct is the number of different values, exact while they are counted each,
	// else estimated by a HyperLogLog with a standard error of 0.8 %.
	Distinct      int64 `json:"distinct"`
	DistinctExact bool  `json:"distinct_exact"`
	// Min and Max are the extremes; of texts, as far as they are kept.
	Min     string   `json:"min,omitempty"`
	Max     string   `json:"max,omitempty"`
	Numbers *Numbers `json:"numbers,omitempty"`
	Text    *Text    `json:"text,omitempty"`
	// Top is the most frequent values with their exact counts.
	Top []Value `json:"top,omitempty"`
	// Association is what the column tells of the label.
	Association *Association `json:"association,omitempty"`
	// Suspects say what the column may be.
	Suspects []Suspect `json:"suspects,omitempty"`
}

// Numbers is the distribution of numbers; of times, in microseconds since 1970.
type Numbers struct {
	Mean      float64    `json:"mean"`
	Deviation float64    `json:"deviation"` // of the values themselves
	Quantiles []Quantile `json:"quantiles"`
	Histogram Histogram  `json:"histogram"`
	// Cells are the values in order, about as many in each.
	Cells []Cell `json:"cells"`
}

// Quantile is the value below which a share of the values lies.
type Quantile struct {
	Share float64 `json:"share"`
	Value float64 `json:"value"`
}

// Histogram counts values: Below those less than From, Above those more than To, and
// between them in bins of one width, of which each has its upper edge.
type Histogram struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Below  int64   `json:"below"`
	Counts []int64 `json:"counts"`
	Above  int64   `json:"above"`
}

// Cell is the values from one to another.
type Cell struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int64   `json:"count"`
}

// Text is what texts have beside their values. Lengths are in characters.
type Text struct {
	Empty      int64   `json:"empty"`
	Shortest   int64   `json:"shortest"`
	Longest    int64   `json:"longest"`
	MeanLength float64 `json:"mean_length"`
	// Likely is what the texts are written as, LikelyShare how many of those that are not
	// empty are.
	Likely      string  `json:"likely,omitempty"`
	LikelyShare float64 `json:"likely_share,omitempty"`
}

// Value is a value and how often it is there.
type Value struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	key   uint64
}

// Suspect is what a column may be: an identifier, a constant, a leak of the label, or a
// kind of personal data, of which Share is how many of the texts have its form.
type Suspect struct {
	Kind       string     `json:"kind"`
	Confidence Confidence `json:"confidence"`
	Share      float64    `json:"share,omitempty"`
	Why        string     `json:"why"`
}

// MaxBytes bounds the JSON of a profile that is read.
const MaxBytes = 256 << 20

// Decode reads the JSON of a profile.
func Decode(name string, data []byte) (*Profile, error) {
	fail := func(err error, hint string) (*Profile, error) {
		return nil, &thalweg.Error{Op: "read profile", Kind: thalweg.Invalid, Subject: name, Err: err, Hint: hint}
	}
	const hint = "give what `thalweg profile -o json` wrote"
	var p Profile
	err := json.Unmarshal(data[:min(len(data), MaxBytes)], &p)
	switch {
	case len(data) > MaxBytes:
		return fail(fmt.Errorf("it has %d bytes, the bound is %d", len(data), MaxBytes), hint)
	case err != nil:
		return fail(err, hint)
	case p.Version != Version:
		return fail(fmt.Errorf("its version is %d, this build reads %d", p.Version, Version), "write it anew")
	}
	if p.Rows < 0 {
		return fail(fmt.Errorf("it has %d rows", p.Rows), hint)
	}
	for _, c := range p.Columns {
		if err := c.check(p.Rows); err != nil {
			return fail(fmt.Errorf("column %s: %w", c.Name, err), hint)
		}
	}
	return &p, nil
}

// check reports what no rows have.
func (c *Column) check(rows int64) error {
	known := rows
	for _, n := range []int64{c.Nulls, c.NaN, c.MinusInfinity, c.PlusInfinity} {
		if n < 0 || n > known {
			return fmt.Errorf("%d of %d rows", n, rows)
		}
		known -= n
	}
	for _, v := range c.Top {
		if v.Count < 1 || v.Count > known {
			return fmt.Errorf("value %q is in %d of %d rows", v.Value, v.Count, known)
		}
		known -= v.Count
	}
	n := c.Numbers
	switch {
	case n == nil:
		return nil
	case !slices.EqualFunc(n.Quantiles, shares, func(q Quantile, share float64) bool { return q.Share == share }),
		len(n.Histogram.Counts) != maxBins, len(n.Cells) == 0, n.Histogram.From > n.Histogram.To:
		return fmt.Errorf("numbers without their distribution")
	}
	last, all := math.Inf(-1), int64(0)
	for _, cell := range n.Cells {
		if cell.From <= last || cell.To < cell.From || cell.Count < 1 || cell.Count > rows-all {
			return fmt.Errorf("cells that no values have")
		}
		last, all = cell.To, all+cell.Count
	}
	all = 0
	for _, count := range append([]int64{n.Histogram.Below, n.Histogram.Above}, n.Histogram.Counts...) {
		if count < 0 || count > rows-all {
			return fmt.Errorf("a histogram that no values have")
		}
		all += count
	}
	return nil
}
