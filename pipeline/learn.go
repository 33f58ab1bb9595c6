package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
)

// LearningSpec is a StepSpec whose operator may have to learn from the training
// rows before it can be applied: a median to fill with, the bounds of outliers.
type LearningSpec interface {
	StepSpec
	// Learns reports whether the step that is specified does. Bind returns a Learner
	// then.
	Learns() bool
}

// Learner is an operator that has to learn before it can be applied. Its step
// leaves the names and types of the columns as they are, which Compile checks.
type Learner interface {
	Op
	// Observer returns what sees the training rows of one shard.
	Observer() Observer
	// Finish merges the partials of all shards, in shard order, into what is learnt:
	// the same partials give the same JSON.
	Finish(partials [][]byte) (json.RawMessage, error)
	// With returns the operator that applies what was learnt, and reports JSON that
	// Finish does not return.
	With(learnt json.RawMessage) (Op, error)
}

// Observer gathers what a Learner needs to know of one shard's training rows. It
// is for one goroutine.
type Observer interface {
	// Observe sees rows as the step finds them, but that the steps before have not
	// done what they learn in the same pass.
	Observe(batch arrow.Record) error
	// Partial returns what was gathered as JSON.
	Partial() ([]byte, error)
}

// MaxLearntBytes bounds Learnt as JSON: it is part of each model version.
const MaxLearntBytes = 4 << 20

// Learnt is what the steps of a plan have learnt, by the step's name. Equal ones
// have equal JSON.
type Learnt map[string]json.RawMessage

// JSON returns the one form of what was learnt.
func (l Learnt) JSON() []byte {
	out, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %v", err)) // it is JSON already
	}
	return out
}

// Hash returns the sha256 of the JSON in hex, "" where nothing was learnt.
func (l Learnt) Hash() string {
	if len(l) == 0 {
		return ""
	}
	sum := sha256.Sum256(l.JSON())
	return hex.EncodeToString(sum[:])
}

// learns reports whether a step has to learn.
func learns(step StepSpec) bool {
	l, ok := step.(LearningSpec)
	return ok && l.Learns()
}

// Learns reports whether a cleaning step has to learn from the training rows.
func (s *Spec) Learns() bool {
	for _, c := range s.Spec.Preprocessing.Clean {
		if step, ok := c.Options.(StepSpec); ok && learns(step) {
			return true
		}
	}
	return false
}

// WithLearnt returns the plan whose steps apply what they have learnt, in
// training and in scoring alike.
func (p *Plan) WithLearnt(learnt Learnt) (*Plan, error) {
	out := *p
	out.Learnt, out.Steps = learnt, make([]PlannedStep, len(p.Steps))
	known := 0
	for i, s := range p.Steps {
		for _, op := range []*Op{&s.Training, &s.Scoring} {
			l, ok := (*op).(Learner)
			if !ok {
				continue
			}
			if op == &s.Training {
				known++
			}
			data, ok := learnt[s.Name]
			err := fmt.Errorf("nothing was learnt")
			if ok {
				*op, err = l.With(data)
			}
			if err != nil {
				return nil, &thalweg.Error{Op: "load what was learnt", Kind: thalweg.Corrupt, Subject: "step " + s.Name, Err: err}
			}
		}
		out.Steps[i] = s
	}
	if known != len(learnt) {
		return nil, &thalweg.Error{Op: "load what was learnt", Kind: thalweg.Corrupt, Err: fmt.Errorf("%d steps, the plan has %d that learn", len(learnt), known)}
	}
	return &out, nil
}
