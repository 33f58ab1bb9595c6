package split

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Folder is a Method that cuts rows into folds too.
type Folder interface {
	Method
	// Fold adds to the split of each row, which Assign has written to dst, the fold that
	// the row is in, as WithFold does; none to a row that is never held out.
	Fold(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error
}

// Unused is the split of a row that a View has no use for.
const Unused = 255

// foldShift is where the fold stands in a code: above a split.
const foldShift = 2

// WithFold returns the code of a row of a split that is in a fold, from 1.
func WithFold(part uint8, fold int) uint8 { return part | uint8(fold)<<foldShift }

// FoldOf returns the fold of a code, 0 for none.
func FoldOf(code uint8) int { return int(code >> foldShift) }

// View is how rows are looked at: by their splits (Whole), or with a fold held out.
type View int

// Whole is the view in which a row has its own split.
const Whole View = 0

// Without returns the view in which a fold, from 1, is held out.
func Without(fold int) View { return View(fold) }

// Of returns the split of a row in the view, by its code. The rows of a fold that is held
// out are those of the test split, whose own are Unused; the others stay what they are.
func (v View) Of(code uint8) uint8 {
	part := code & (1<<foldShift - 1)
	switch {
	case v == Whole:
		return part
	case FoldOf(code) == int(v):
		return Test
	case part == Test:
		return Unused
	}
	return part
}

// Codes is Assign, with the fold of each row beside its split where the cuts have folds.
func (c *Cuts) Codes(plan *pipeline.Plan, batch arrow.Record, from Origin, dst []uint8) ([]uint8, error) {
	dst, err := c.Assign(plan, batch, from, dst)
	if err != nil || c.Folds == 0 {
		return dst, err
	}
	m, ok := plan.Split.(Folder)
	if !ok {
		return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("folds of split type %q", c.Type)}
	}
	return dst, m.Fold(c, batch, from, dst)
}

// foldOf returns the fold of a hash by which rows are split: by another hash, so that each
// fold has as much of each split.
func (c *Cuts) foldOf(hash uint64) int {
	fold, _ := bits.Mul64(kernel.Mix(hash+kernel.Golden), uint64(c.Folds))
	return 1 + int(fold)
}

// FoldColumn is the column that says a row's fold.
const FoldColumn = "_fold"
