package quality

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/pipeline"
)

// RowCount is how many rows cleaning must leave of the training data.
type RowCount struct {
	// Min is the least number of rows. Default: any.
	Min *int `yaml:"min,omitempty" json:"min,omitempty" jsonschema:"minimum=0"`
	// Max is the greatest number of rows. Default: any.
	Max *int `yaml:"max,omitempty" json:"max,omitempty" jsonschema:"minimum=0"`
}

// Condition implements pipeline.TestSpec.
func (*RowCount) Condition() (text string, written bool) { return "", false }

// Misses implements pipeline.CountSpec.
func (r *RowCount) Misses(rows int64) string {
	switch {
	case r.Min != nil && rows < int64(*r.Min):
		return fmt.Sprintf("there are %s rows, at least %s should be", humanize.Comma(rows), humanize.Comma(int64(*r.Min)))
	case r.Max != nil && rows > int64(*r.Max):
		return fmt.Sprintf("there are %s rows, at most %s should be", humanize.Comma(rows), humanize.Comma(int64(*r.Max)))
	}
	return ""
}

// Check implements pipeline.Checker.
func (r *RowCount) Check(at pipeline.Place) {
	switch {
	case r.Min == nil && r.Max == nil:
		at.Problem("", "write min, max or both", "a number of rows needs a bound")
	case r.Min != nil && r.Max != nil && *r.Min > *r.Max:
		at.Problem("min", "", "it is above max: no number of rows would pass")
	}
}
