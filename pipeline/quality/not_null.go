package quality

import "github.com/thalweg/thalweg/pipeline"

// NotNull is true where each row must have a value: null fails, and NaN, which is null.
type NotNull bool

// Condition implements pipeline.TestSpec.
func (n *NotNull) Condition() (text string, written bool) { return "value != null", false }

// Check implements pipeline.Checker.
func (n *NotNull) Check(at pipeline.Place) {
	if !*n {
		at.Problem("", "leave the test out", "it asks for nothing")
	}
}
