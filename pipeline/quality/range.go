package quality

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

// Range is the least and the greatest value that the column may have, both allowed: of
// numbers, texts, or times such as "2024-01-31".
type Range struct {
	// Min is the least value. Default: any.
	Min any `yaml:"min,omitempty" json:"min,omitempty"`
	// Max is the greatest value. Default: any.
	Max any `yaml:"max,omitempty" json:"max,omitempty"`
}

// Condition implements pipeline.TestSpec.
func (r *Range) Condition() (text string, written bool) {
	var all []string
	if r.Min != nil {
		all = append(all, "value >= "+literal(r.Min))
	}
	if r.Max != nil {
		all = append(all, "value <= "+literal(r.Max))
	}
	return strings.Join(all, " and "), false
}

// Check implements pipeline.Checker.
func (r *Range) Check(at pipeline.Place) {
	least, isNumber := pipeline.ToNumber(r.Min)
	most, isToo := pipeline.ToNumber(r.Max)
	switch {
	case r.Min == nil && r.Max == nil:
		at.Problem("", "write min, max or both", "a range needs a bound")
	case isNumber && isToo && least > most:
		at.Problem("min", "", "it is above max: no row would pass")
	}
}
