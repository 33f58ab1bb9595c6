package quality

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
)

// AcceptedValues are all values that the column may have: [JFK, LAX].
type AcceptedValues []any

// maxAccepted bounds the values, as expressions are bounded.
const maxAccepted = 500

// Condition implements pipeline.TestSpec.
func (a *AcceptedValues) Condition() (text string, written bool) {
	literals := make([]string, len(*a))
	for i, v := range *a {
		literals[i] = literal(v)
	}
	return "value in [" + strings.Join(literals, ", ") + "]", false
}

// Check implements pipeline.Checker.
func (a *AcceptedValues) Check(at pipeline.Place) {
	switch text, _ := a.Condition(); {
	case len(*a) == 0:
		at.Problem("", "", "the list is empty: no row would pass")
	case len(*a) > maxAccepted || len(text) > expression.MaxSource:
		at.Problem("", "", "the list has %d values and %d bytes, at most %d and %d are possible", len(*a), len(text), maxAccepted, expression.MaxSource)
	}
}
