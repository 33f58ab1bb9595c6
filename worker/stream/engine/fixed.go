package engine

import (
	"context"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
)

// Fixed is the Models of one version that is loaded already: what a replay
// scores with. It may be used from several goroutines.
type Fixed struct {
	Candidate Candidate
	Artifact  *artifact.Artifact
}

// Candidates implements Models. The channel is never closed.
func (f *Fixed) Candidates() ([]Candidate, <-chan struct{}) { return []Candidate{f.Candidate}, nil }

// Load implements Models: Lost for any other version.
func (f *Fixed) Load(_ context.Context, m Model) (*artifact.Artifact, error) {
	if m != f.Candidate.Model {
		return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Lost, Subject: m.String(),
			Hint: "only " + f.Candidate.String() + " is at hand"}
	}
	return f.Artifact, nil
}
