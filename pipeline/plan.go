package pipeline

import (
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/imported"
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
	// Unread names the columns of ScoringInput that neither a feature nor a step of
	// the scoring phase reads: a value that does not fit one is null, since no event
	// shall be lost for what has no bearing on its row's answer.
	Unread []string
	// Steps are the cleaning steps in the order of the spec.
	Steps []PlannedStep
	// Learnt is what the steps that learn apply; nil before they have.
	Learnt Learnt
	// Imported is the model where the spec imports one; else nil, and before the
	// profile stage has read it.
	Imported *imported.Ensemble
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
	Type       string // binary | number | category
	Answer     string // the type of the model's answer
	Column     string
	Expression *expression.Program
	Threshold  float64 // binary only
	Loss       Choice
}
