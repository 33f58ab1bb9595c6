// Package profile says what rows hold: of each column its values, their distribution
// and what is odd about them. It holds memory that is bounded whatever the rows are,
// and a profile is the same bytes in whatever order rows come and however they are
// divided into parts that are merged.
package profile

import "github.com/thalweg/thalweg/pipeline/table"

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
	// Duplicates is how many rows are there before, of the columns that are profiled:
	// exact while at most 65,536 different rows are there, else estimated from as many
	// of them, chosen by their hashes.
	Duplicates      int64    `json:"duplicates"`
	DuplicatesExact bool     `json:"duplicates_exact"`
	Columns         []Column `json:"columns"`
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

// Cell is the values that are more than To of the cell before and not more than To.
type Cell struct {
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
