// Package thalweg is the vocabulary of the system: the identifiers that
// coordinator, workers, storage and the command line share, and the one error
// type. It imports only the standard library, and everything may import it.
package thalweg

import (
	"fmt"
	"strconv"
	"strings"
)

// PipelineName names a pipeline: metadata.name of its spec.
type PipelineName string

// Generation numbers the accepted versions of a pipeline's spec, from 1.
type Generation uint64

// RunID names one execution of a pipeline's batch half. It is derived from the
// pipeline, its generation and an ordinal ("flight-delays-2-1"), never from a
// clock, so that a replayed history has the same names.
type RunID string

// NewRunID returns the ID of the ordinal-th run (from 1) of a generation.
func NewRunID(p PipelineName, g Generation, ordinal uint64) RunID {
	return RunID(fmt.Sprintf("%s-%d-%d", p, g, ordinal))
}

// Pipeline returns whose run an ID names, "" if it is none: flights-2-1 is one of
// flights.
func (r RunID) Pipeline() PipelineName {
	name := string(r)
	for range 2 {
		name = name[:max(strings.LastIndexByte(name, '-'), 0)]
	}
	return PipelineName(name)
}

// JobID names one piece of work that somebody asked for. It is derived from the
// pipeline and the Raft index of the entry that started it: flights-j4711.
type JobID string

// NewJobID returns the ID of a job that the entry of an index has started.
func NewJobID(p PipelineName, index uint64) JobID {
	return JobID(fmt.Sprintf("%s-j%d", p, index))
}

// Pipeline returns whose job an ID names, "" if it is none.
func (j JobID) Pipeline() PipelineName {
	return PipelineName(string(j)[:max(strings.LastIndex(string(j), "-j"), 0)])
}

// TaskID is a task's one printed name: run/kind@index for a task over one
// shard or replica, run/kind.reduce for the task that merges a stage,
// pipeline/score@partition for a leased topic partition, and job/kind for a job.
type TaskID string

// WorkerID names a worker. It is chosen by the operator (or the host name) and
// survives restarts; the incarnation of one process is told apart by the
// incarnation it sends with each poll.
type WorkerID string

// Token fences late holders of a lease: it is the Raft index of the grant, so
// a later grant always has a larger token.
type Token uint64

// The states of a topic partition's scoring, as status shows them.
const (
	StreamWaiting = "waiting" // for a model, a topic, the store or the log
	StreamRunning = "running"
	StreamPaused  = "paused"
	StreamStopped = "stopped"
)

// DefaultAlias is the alias of the model version that a stream scores with
// unless its spec names another.
const DefaultAlias = "champion"

// ModelName names a line of model versions.
type ModelName string

// ModelVersion numbers the versions of one model, from 1.
type ModelVersion uint64

// Round counts parameter averagings within one training, from 0.
type Round uint64

// CheckpointRef names an immutable object set by its manifest: the key of the
// manifest object and the sha256 of its bytes, which in turn lists the sha256
// of every part.
type CheckpointRef = ObjectRef

// ObjectRef names one immutable object in the state bucket together with the
// sha256 (64 hex digits) that its bytes must have.
type ObjectRef struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// String returns key#sha256, the form in which references travel.
func (r ObjectRef) String() string {
	if r.Key == "" {
		return ""
	}
	return r.Key + "#" + r.SHA256
}

// ParseObjectRef is the inverse of ObjectRef.String.
func ParseObjectRef(s string) (ObjectRef, error) {
	key, sum, ok := strings.Cut(s, "#")
	if !ok || key == "" || len(sum) != 64 {
		return ObjectRef{}, &Error{Op: "parse reference", Kind: Invalid, Subject: strconv.Quote(s),
			Hint: "a reference is key#sha256 with 64 hex digits"}
	}
	return ObjectRef{Key: key, SHA256: sum}, nil
}
