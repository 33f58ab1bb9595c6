package quality

import "github.com/thalweg/thalweg/pipeline"

// Regex is an RE2 pattern that is somewhere in each text of the column; ^ and $ tie it to
// the ends: "^[A-Z]{3}$".
type Regex string

// Condition implements pipeline.TestSpec.
func (r *Regex) Condition() (text string, written bool) {
	return "value matches " + literal(string(*r)), false
}

// Check implements pipeline.Checker.
func (r *Regex) Check(at pipeline.Place) {
	if at.Pattern("", string(*r)) != nil && *r == "" {
		at.Problem("", "", "the pattern is empty: every text has it")
	}
}
