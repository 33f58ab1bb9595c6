package clean

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
)

// Dedupe keeps one row of each key in the whole dataset, whatever its files, in training
// only. Each such step is a pass over the rows.
type Dedupe struct {
	// Keys are the columns in which double rows have equal values: all nulls are equal to
	// one another, and all NaNs, as SELECT DISTINCT has them.
	Keys []string `yaml:"keys" json:"keys" jsonschema:"minItems=1"`
	// Keep says which row of a key stays, in the order of by: the first, or the last.
	Keep string `yaml:"keep,omitempty" json:"keep,omitempty" jsonschema:"enum=first,enum=last" default:"first"`
	// By is the column that orders the rows of a key; one without a value stays only where
	// none has one. Rows with equal values are in the order of the dataset, that of its
	// objects' keys and of the rows in them. Default: the order of the dataset.
	By                  string `yaml:"by,omitempty" json:"by,omitempty"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

const keepLast = "last"

// Shuffles implements pipeline.ShufflingSpec.
func (s *Dedupe) Shuffles() bool { return true }

// Defaults implements pipeline.Defaulter.
func (s *Dedupe) Defaults(at pipeline.Place) {
	pipeline.Default(at, "keep", &s.Keep, "first")
	pipeline.DefaultList(at, "apply_to", &s.ApplyTo, pipeline.InTraining)
}

// Check implements pipeline.Checker.
func (s *Dedupe) Check(at pipeline.Place) {
	for i, name := range s.Keys {
		if slices.Contains(s.Keys[:i], name) {
			at.Problem(fmt.Sprintf("keys[%d]", i), "", "column %s appears twice", name)
		}
	}
	s.TrainingOnly(at, "dedupe")
}

// Bind implements pipeline.StepSpec.
func (s *Dedupe) Bind(at *pipeline.Columns) pipeline.Op {
	for i, name := range s.Keys {
		at.Key(fmt.Sprintf("keys[%d]", i), name)
	}
	if s.By != "" {
		at.Order("by", s.By)
	}
	name, shuffle := at.Step(), pipeline.Shuffle{Keys: s.Keys, By: s.By, Descending: s.Keep == keepLast}
	return &unsettled{shuffle, func(found *pipeline.Settled) pipeline.Op { return &dedupe{name, s.Keys, found} }}
}

type dedupe struct {
	name  string
	keys  []string
	found *pipeline.Settled
}

// Apply implements pipeline.Op. It counts and names the rows removed.
func (o *dedupe) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	return drop(mem, batch, o.found.Mark(batch).Not(), rep, o.name, "another row has the same "+strings.Join(o.keys, ", "))
}

// unsettled is a step that shuffles, before anybody has said what the shuffle found.
type unsettled struct {
	shuffle pipeline.Shuffle
	with    func(found *pipeline.Settled) pipeline.Op
}

// Shuffle implements pipeline.Shuffler.
func (o *unsettled) Shuffle() pipeline.Shuffle { return o.shuffle }

// With implements pipeline.Shuffler.
func (o *unsettled) With(found *pipeline.Settled) pipeline.Op { return o.with(found) }

// Apply implements pipeline.Op.
func (*unsettled) Apply(context.Context, memory.Allocator, arrow.Record, *pipeline.Report) (arrow.Record, error) {
	return nil, pipeline.ErrUnsettled
}
