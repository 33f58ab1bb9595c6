package quality

import "github.com/thalweg/thalweg/pipeline"

// Unique is true where no two training rows may have equal values in the columns: each row
// after the first of its key fails, in the order of the dataset. All nulls are equal to one
// another, and all NaNs, as SELECT DISTINCT has them. The test is a pass over the rows.
type Unique bool

// Condition implements pipeline.TestSpec: no row is looked at by itself.
func (*Unique) Condition() (text string, written bool) { return "", false }

// Shuffles implements pipeline.ShufflingSpec.
func (*Unique) Shuffles() bool { return true }

// Check implements pipeline.Checker.
func (u *Unique) Check(at pipeline.Place) {
	if !*u {
		at.Problem("", "leave the test out", "it asks for nothing")
	}
}
