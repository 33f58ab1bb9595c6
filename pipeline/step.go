package pipeline

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Phase tells an operator which half of the pipeline it runs in.
type Phase string

// The phases, as apply_to and available_in spell them.
const (
	InTraining Phase = "training"
	InScoring  Phase = "scoring"
)

// StepSpec is what a step of one operator says: the Options of an entry of the
// kind Steps. Its struct embeds StepPhases, inlined, as its last field.
type StepSpec interface {
	// Bind notes what the step does to the columns of a phase, and what is wrong
	// with it, and returns the operator; nil where something is wrong. The step is
	// valid and has its defaults.
	Bind(at *Columns) Op
	// Phases returns the step's StepPhases.
	Phases() *StepPhases
}

// StepPhases is the field that all steps have.
type StepPhases struct {
	// ApplyTo names the phases in which the step runs, or the data test. Default both, but
	// [training] for a step that removes rows, and for a test of their number.
	ApplyTo []Phase `yaml:"apply_to,omitempty" json:"apply_to,omitempty" default:"[training, scoring]"`
}

// Phases implements StepSpec.
func (p *StepPhases) Phases() *StepPhases { return p }

// Step returns the entry of a cleaning operator.
func Step(name string, options StepSpec, source string) Entry { return Entry{name, options, source} }

// Op is one cleaning operator bound to its columns: an Arrow batch in, an Arrow
// batch out.
//
// Apply never releases its input and the caller owns the result, which may be
// the input retained. The batch's last column is RowColumn, and stays so. An Op
// holds no state that a batch changes: applying it to rows one by one or all at
// once gives the same rows. Apply may be called from several goroutines.
type Op interface {
	// Apply transforms a batch; new columns are made in mem. Rows that it removes
	// or cannot treat are named in rep; nothing vanishes silently.
	Apply(ctx context.Context, mem memory.Allocator, batch arrow.Record, rep *Report) (arrow.Record, error)
}
