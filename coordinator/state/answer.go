package state

import (
	"slices"

	"github.com/thalweg/thalweg"
)

// Answer is what a command answers; which fields are set depends on the command.
// It is part of the replicated state, because a repeated request id gets the
// first answer.
type Answer struct {
	Failure    *Failure             `json:"failure,omitempty"`
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

// Failure is a refusal, kept as data.
type Failure struct {
	Op      string       `json:"op"`
	Kind    thalweg.Kind `json:"kind"`
	Subject string       `json:"subject"`
	Hint    string       `json:"hint,omitempty"`
}

// Err returns the refusal as an error, nil if there is none.
func (a Answer) Err() error {
	if a.Failure == nil {
		return nil
	}
	return &thalweg.Error{Op: a.Failure.Op, Kind: a.Failure.Kind, Subject: a.Failure.Subject, Hint: a.Failure.Hint}
}

func failure(kind thalweg.Kind, op, subject, hint string) Answer {
	return Answer{Failure: &Failure{Op: op, Kind: kind, Subject: subject, Hint: hint}}
}

// request is one remembered answer.
type request struct {
	ID      string `json:"id"`
	Command string `json:"command"`
	Answer  Answer `json:"answer"`
}

// requestTable remembers the last MaxRequests answers, oldest first.
type requestTable struct {
	kept []request
	byID map[string]request
}

func newRequestTable() requestTable { return requestTable{byID: make(map[string]request)} }

func (t *requestTable) lookup(id string) (request, bool) {
	r, ok := t.byID[id]
	return r, ok
}

func (t *requestTable) keep(r request) {
	if len(t.kept) >= MaxRequests {
		over := len(t.kept) - MaxRequests + 1
		for _, old := range t.kept[:over] {
			delete(t.byID, old.ID)
		}
		t.kept = slices.Delete(t.kept, 0, over)
	}
	t.kept = append(t.kept, r)
	t.byID[r.ID] = r
}
