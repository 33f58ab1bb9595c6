package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/level"
)

// Command is one change of the state, as the leader planned it. The types that
// implement it are the log's schema: a field may be added when its zero value
// means what its absence meant; anything else is a new command.
type Command interface {
	// name is what the command is called in the log, in answers and in metrics.
	name() string
	// apply changes the state. It sees only the state, the command and where the
	// entry stands, and it is a no-op where the plan lost a race.
	apply(s *State) Answer
}

// Name returns what a command is called in logs and metrics: "grant leases".
func Name(c Command) string { return c.name() }

// envelope is the form of every log entry.
type envelope struct {
	Command string          `json:"command"`
	TimeMS  int64           `json:"time_ms"`
	Request string          `json:"request,omitempty"`
	Caller  *audit.Caller   `json:"caller,omitempty"` // of a Mutation
	Body    json.RawMessage `json:"body"`
}

// Encode returns a command as a log entry. request is the client's request id,
// empty for the leader's own commands, and timeMS is the leader's clock,
// milliseconds since 1970 UTC.
func Encode(c Command, request string, timeMS int64) ([]byte, error) {
	return EncodeFor(nil, c, request, timeMS)
}

// EncodeFor is Encode for a command that somebody asked for.
func EncodeFor(caller *audit.Caller, c Command, request string, timeMS int64) ([]byte, error) {
	if len(request) > MaxRequestIDBytes {
		return nil, &thalweg.Error{Op: c.name(), Kind: thalweg.Invalid, Subject: "request id",
			Err: fmt.Errorf("longer than %d bytes", MaxRequestIDBytes)}
	}
	body, err := json.Marshal(c)
	if err != nil { // a value that JSON cannot carry, such as a metric that is not finite
		return nil, &thalweg.Error{Op: c.name(), Kind: thalweg.Invalid, Subject: "command", Err: err}
	}
	return json.Marshal(envelope{Command: c.name(), TimeMS: timeMS, Request: request, Caller: caller, Body: body})
}

// decode is the inverse of Encode. Unknown commands and fields are errors: a newer
// leader's field may change what the command means.
func decode(entry []byte) (envelope, Command, error) {
	var env envelope
	if err := thalweg.DecodeStrict(entry, &env); err != nil {
		if !json.Valid(entry) {
			return env, nil, &thalweg.Error{Op: "apply log entry", Kind: thalweg.Corrupt, Subject: "envelope",
				Hint: "no build writes that: the log is damaged", Err: err}
		}
		return env, nil, notUnderstood("envelope", err)
	}
	for _, blank := range catalog {
		cmd := blank()
		if cmd.name() != env.Command {
			continue
		}
		if err := thalweg.DecodeStrict(env.Body, cmd); err != nil {
			return env, nil, notUnderstood(cmd.name(), err)
		}
		if raise, ok := cmd.(*RaiseLevel); ok {
			if err := raise.understood(); err != nil {
				return env, nil, err
			}
		}
		return env, cmd, nil
	}
	return env, nil, notUnderstood(fmt.Sprintf("command %q", env.Command), errors.New("unknown to this build"))
}

func notUnderstood(subject string, err error) error {
	return newerBuild("apply log entry", subject, err)
}

func newerBuild(op, subject string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: subject,
		Hint: "it was written by a newer build; upgrade this node", Err: err}
}

// Answer is what a command answers; which fields are set depends on the command.
// It is part of the replicated state, because a repeated request id gets the
// first answer.
type Answer struct {
	Failure    *thalweg.Error       `json:"failure,omitempty"` // a refusal; it has no cause
	Pipeline   thalweg.PipelineName `json:"pipeline,omitempty"`
	Generation thalweg.Generation   `json:"generation,omitempty"`
	Run        thalweg.RunID        `json:"run,omitempty"`
	Job        thalweg.JobID        `json:"job,omitempty"`
	Changed    bool                 `json:"changed,omitempty"`
	// Previous is the version that an alias pointed to before.
	Previous thalweg.ModelVersion `json:"previous,omitempty"`
	// Version is the model version registered or promoted, and Rejected says which gates
	// one that is promoted did not pass.
	Version  thalweg.ModelVersion `json:"version,omitempty"`
	Rejected string               `json:"rejected,omitempty"`
	// Fenced tells that a report came from a holder whose lease is over.
	Fenced bool `json:"fenced,omitempty"`
	// Stage is the one of the run that came to its end.
	Stage string `json:"stage,omitempty"`
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

// firstLevel is that of a cluster that never raised it.
const firstLevel = 1

// Level returns how the cluster acts: by nothing that came with a later level, since not all
// of its coordinators are known to understand it. It never falls.
func (s *State) Level() int { return max(firstLevel, s.level) }

// RaiseLevel has the cluster act by a level that all its coordinators know. A node whose
// build does not know it stops.
type RaiseLevel struct {
	To int `json:"to"`
}

func (*RaiseLevel) name() string { return "raise level" }

// understood refuses a level that this build does not know.
func (c *RaiseLevel) understood() error {
	if c.To <= level.Known {
		return nil
	}
	return unknownLevel("apply log entry", c.To)
}

func (c *RaiseLevel) apply(s *State) Answer {
	if c.To <= s.Level() {
		return Answer{}
	}
	s.level = c.To
	return Answer{Changed: true}
}

func unknownLevel(op string, wanted int) error {
	return newerBuild(op, fmt.Sprintf("level %d of the cluster", wanted), fmt.Errorf("this build knows %d", level.Known))
}
