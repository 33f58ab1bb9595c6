package quality

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

// Check is an expression that is false for rows that fail, of the tested column as value
// and of other columns by their names: value >= 0 && value <= distance.
type Check string

// Condition implements pipeline.TestSpec.
func (c *Check) Condition() (text string, written bool) { return string(*c), true }

// Check implements pipeline.Checker.
func (c *Check) Check(at pipeline.Place) {
	if strings.TrimSpace(string(*c)) == "" {
		at.Problem("", "", "the expression is empty")
	}
}
