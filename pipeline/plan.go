package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Plan is a spec compiled against the schema of its source: every column
// resolved and typed, every expression parsed. It is immutable.
type Plan struct {
	Spec *Spec
	// Input is the schema of the training source: what dataset readers yield.
	Input table.Schema
	// ScoringInput is what event decoders yield: Input without the columns that
	// are there in training only. A column that neither a feature nor a step of
	// the scoring phase reads may be missing from an event and is nullable, even
	// where training has no nulls: the label's is one of these.
	ScoringInput table.Schema
	// Expected names the columns of ScoringInput that are fields of events and
	// that a feature or a step of the scoring phase reads, or that the spec
	// declares and the label does not read: a schema of events without a field for
	// one is a mistake.
	Expected []string
	// Dropped are columns of events that are passed over (pii: drop).
	Dropped []DroppedColumn
	// Unread names the columns of ScoringInput that neither a feature nor a step of
	// the scoring phase reads: a value that does not fit one is null, since no event
	// shall be lost for what has no bearing on its row's answer.
	Unread []string
	// Steps are the cleaning steps in the order of the spec, behind the join with the label
	// file if there is one.
	Steps []PlannedStep
	// Learnt is what the steps that learn apply; nil before they have.
	Learnt Learnt
	// Imported is the model where the spec imports one; else nil, and before the
	// profile stage has read it.
	Imported *imported.Ensemble
	// Tests are the data tests in the order of the spec.
	Tests []PlannedTest
	// Cleaned and ScoringCleaned are the columns after all steps of each phase.
	Cleaned, ScoringCleaned table.Schema
	// Carried are the names of those of ScoringCleaned that scored rows have, nil
	// where the spec scores no stream.
	Carried map[string]bool
	// Split is how rows are split.
	Split SplitMethod
	// Features are the model's inputs in the order of the spec; Label is what it
	// learns.
	Features []Feature
	Label    Label
	// Uses says of each column of Input that training reads what reads it first: "the
	// label", "feature carrier".
	Uses map[string]string
	// Crosses are inputs of the model that combine features.
	Crosses []Cross
	// Matched says for each feature with columns which ones these are.
	Matched []string
}

// DroppedColumn is a column of events that no row has, and where it stands among those
// of ScoringInput.
type DroppedColumn struct {
	table.Column
	At int
}

// EventColumns are the columns that decoders of events know: those of ScoringInput, and
// those that they pass over.
func (p *Plan) EventColumns() table.Schema {
	out := p.ScoringInput
	out.Columns = slices.Clone(out.Columns)
	for i, d := range p.Dropped {
		out.Columns = slices.Insert(out.Columns, d.At+i, d.Column)
	}
	return out
}

// PlannedStep is one cleaning step, bound to the columns of each phase in which
// it applies.
type PlannedStep struct {
	Name string // "1 trim": position from 1 and operator
	// Training and Scoring are nil where the step does not apply.
	Training, Scoring Op
}

// Feature is one input feature, resolved: options merged with the defaults of
// its type and of the build.
type Feature struct {
	Name    string
	Type    string // number | category | list
	Options FeatureOptions
	// Normalization is the Options of the entry of that name.
	Normalization any
	// Column is the cleaned column that the feature reads when it has no
	// expression; Expression otherwise. Its result type is Type for number:
	// int64, float64 or bool; for category: string, int64 or bool; for list: lists of
	// float64, int64 or bool.
	Column     string
	Expression *expression.Program
	// Imported is what the feature is in an imported model; else nil.
	Imported *imported.Input
}

// Label is the output feature, resolved.
type Label struct {
	Name       string
	Type       string // binary | category | number | count
	Answer     string // the type of the model's answer
	Column     string
	Expression *expression.Program
	Threshold  float64 // binary only
	// Optimize is the metric by which the threshold is chosen instead; mostly empty.
	Optimize string
	Loss     Choice
	// Besides are the columns that scored rows have of what the model says besides its
	// answer.
	Besides []table.Column
}

// Importer is options of a model that may have been grown elsewhere.
type Importer interface {
	// Imports returns the reference of what was imported, "" where nothing is.
	Imports() string
}

// Imports returns the reference of the model that the spec imports, or "".
func (s *Spec) Imports() string {
	if m, ok := s.Spec.Model.Options.(Importer); ok {
		return m.Imports()
	}
	return ""
}

// WithImported returns the plan whose model is an ensemble, and whose features enter
// as its inputs. It fails with Invalid where they are not the same.
func (p *Plan) WithImported(e *imported.Ensemble) (*Plan, error) {
	fail := func(format string, args ...any) error {
		return &thalweg.Error{Op: "import model", Kind: thalweg.Invalid, Subject: p.Spec.Imports(), Err: fmt.Errorf(format, args...),
			Hint: "input_features must be those that the model was trained with, by their names there"}
	}
	inputs := make(map[string]*imported.Input, len(e.Inputs))
	for i := range e.Inputs {
		inputs[e.Inputs[i].Name] = &e.Inputs[i]
	}
	out := *p
	out.Imported, out.Features = e, slices.Clone(p.Features)
	names := make([]string, len(out.Features))
	for i := range out.Features {
		f := &out.Features[i]
		names[i] = f.Name
		f.Imported = inputs[f.Name]
		delete(inputs, f.Name)
		if f.Imported == nil {
			return nil, fail("the model reads no feature %q%s", f.Name, spelling.Hint(f.Name, func(yield func(string) bool) {
				for i := range e.Inputs {
					if !yield(e.Inputs[i].Name) {
						return
					}
				}
			}))
		}
		if _, bins := f.Options.Encoder.Options.(Binner); f.Type == inputNumber && !bins {
			return nil, fail("feature %q has the encoder %s: trees split bins, leave it out", f.Name, f.Options.Encoder.Name)
		}
		if _, hashed := f.Options.Encoder.Options.(Hasher); hashed {
			return nil, fail("feature %q has the encoder %s: the model knows its values, leave it out", f.Name, f.Options.Encoder.Name)
		}
		if want := map[bool]string{true: inputCategory, false: inputNumber}[f.Imported.Category()]; f.Type != want {
			return nil, fail("feature %q is a %s in the spec and a %s in the model", f.Name, f.Type, want)
		}
	}
	for i := range e.Inputs {
		if _, missing := inputs[e.Inputs[i].Name]; missing {
			return nil, fail("the model reads a feature %q, the spec has %s", e.Inputs[i].Name, strings.Join(names, ", "))
		}
	}
	return &out, nil
}

func (c *compiler) isDropped(name string) bool {
	return slices.ContainsFunc(c.dropped, func(d DroppedColumn) bool { return d.Name == name })
}

// passOver notes dropped columns that stand before a column of plan.Input, which has a
// place among those of events.
func (c *compiler) passOver(dropped []DroppedColumn, before, place int) []DroppedColumn {
	for len(dropped) > 0 && dropped[0].At <= before {
		if !dropped[0].TrainingOnly {
			c.plan.Dropped = append(c.plan.Dropped, DroppedColumn{dropped[0].Column, place})
		}
		dropped = dropped[1:]
	}
	return dropped
}

// scoringInput returns the columns of events, and which of them their schema
// must have.
func (c *compiler) scoringInput() (out table.Schema, expected []string) {
	out.Timezone = c.plan.Input.Timezone
	declared := len(c.spec.Spec.Schema.Columns) > 0
	dropped := c.dropped
	for i, column := range c.plan.Input.Columns {
		dropped = c.passOver(dropped, i, len(out.Columns))
		if column.TrainingOnly {
			continue
		}
		_, ofLabel := c.labelReads[column.Name]
		if column.From == "" && (c.required[column.Name] || declared && !ofLabel) {
			expected = append(expected, column.Name)
		}
		column.Nullable = column.Nullable || !c.required[column.Name]
		if !c.read[column.Name] {
			c.plan.Unread = append(c.plan.Unread, column.Name)
		}
		out.Columns = append(out.Columns, column)
	}
	c.passOver(dropped, len(c.plan.Input.Columns), len(out.Columns))
	return out, expected
}
