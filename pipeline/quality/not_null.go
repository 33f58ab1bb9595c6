package quality

import (
	_ "embed"

	"github.com/thalweg/thalweg/pipeline"
)

//go:embed not_null.go
var notNullSource string

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
