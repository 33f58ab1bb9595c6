package quality

import "github.com/thalweg/thalweg/pipeline"

// InLookup is the name of a table of spec.lookups, with a key of one column, that has
// each value of the column as a key.
type InLookup string

// LooksUp implements pipeline.LooksUp.
func (t *InLookup) LooksUp() string { return string(*t) }

// Condition implements pipeline.TestSpec: the table is the condition.
func (*InLookup) Condition() (text string, written bool) { return "", false }

// Check implements pipeline.Checker.
func (t *InLookup) Check(at pipeline.Place) {
	if *t == "" {
		at.Problem("", "", "it names no table")
	}
}
