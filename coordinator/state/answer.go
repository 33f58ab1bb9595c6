package state

import (
	"slices"

	"github.com/thalweg/thalweg"
)

// Answer is what a command answers; which fields are set depends on the command.
// It is part of the replicated state, because a repeated request id gets the
// first answer.
type Answer struct {
	Failure    *thalweg.Error       `json:"failure,omitempty"` // a refusal; it has no cause
	Pipeline   thalweg.PipelineName `json:"pipeline,omitempty"`
	Generation thalweg.Generation   `json:"generation,omitempty"`
	Run        thalweg.RunID        `json:"run,omitempty"`
	Changed    bool                 `json:"changed,omitempty"`
	// Previous is the version that an alias pointed to before.
	Previous thalweg.ModelVersion `json:"previous,omitempty"`
	// Version is the model version registered.
	Version thalweg.ModelVersion `json:"version,omitempty"`
	// Fenced tells that a report came from a holder whose lease is over.
	Fenced bool `json:"fenced,omitempty"`
}

// Err returns the refusal as an error, nil if there is none.
func (a Answer) Err() error {
	if a.Failure == nil {
		return nil
	}
	return a.Failure
}

func failure(kind thalweg.Kind, op, subject, hint string) Answer {
	return Answer{Failure: &thalweg.Error{Op: op, Kind: kind, Subject: subject, Hint: hint}}
}

// request is one remembered answer.
type request struct {
	ID      string `json:"id"`
	Command string `json:"command"`
	Answer  Answer `json:"answer"`
}

// request returns the remembered answer to a request id, or nil.
func (s *State) request(id string) *request {
	i := slices.IndexFunc(s.requests, func(r request) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &s.requests[i]
}
