package engine

import (
	"errors"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
)

// ErrRefetch is the engine's answer to a batch whose records lack what columns
// come from: they were fetched for a version that has no such columns.
var ErrRefetch = errors.New("the version needs parts of records that were not fetched")

// FieldsOf returns the parts of records that the columns of an artifact's events
// come from: what a reader has to ask its source for.
func FieldsOf(a *artifact.Artifact) (want connectors.Fields) {
	columns := a.Plan().ScoringInput
	if events.NeedsKeys(columns) {
		want |= connectors.Keys
	}
	if events.NeedsHeaders(columns) {
		want |= connectors.Headers
	}
	return want
}

// envelope is the events.Envelope of a batch that has the fields asked for.
type envelope struct{ *Batch }

// Timestamp implements events.Envelope.
func (e envelope) Timestamp(i int) int64 { return e.Timestamps[i] }

// Key implements events.Envelope.
func (e envelope) Key(i int) (key []byte, ok bool) {
	return e.key(i), !e.Parts.NullKeys[e.first+i]
}

// Header implements events.Envelope.
func (e envelope) Header(i int, name string) (value []byte, ok bool) {
	value, ok = e.header(i, name)
	return value, ok && value != nil
}
