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

// events lays a batch out for the decoder.
func (e *artifactEngine) events(b *Batch, partition int) events.Events {
	r, lo, hi := b.Records, b.first, b.first+b.n
	start := 0
	if lo > 0 {
		start = r.Ends[lo-1]
	}
	e.ends = e.ends[:0]
	for _, end := range r.Ends[lo:hi] {
		e.ends = append(e.ends, end-start)
	}
	laidOut := events.Events{Values: r.Values[start:r.Ends[hi-1]], Ends: e.ends, Offsets: b.Offsets(), Partition: partition, Around: envelope{b}}
	if r.Null != nil {
		laidOut.Nulls = r.Null[lo:hi]
	}
	for i, why := range r.Unreadable {
		if i >= lo && i < hi {
			if laidOut.Unreadable == nil {
				laidOut.Unreadable = make(map[int]string)
			}
			laidOut.Unreadable[i-lo] = why
		}
	}
	return laidOut
}

// envelope is the events.Envelope of a batch that has the fields asked for.
type envelope struct{ *Batch }

// Timestamp implements events.Envelope.
func (e envelope) Timestamp(i int) int64 { return e.Records.Timestamps[e.first+i] }

// Key implements events.Envelope.
func (e envelope) Key(i int) (key []byte, ok bool) {
	return e.Records.Key(e.first + i), !e.Records.NullKeys[e.first+i]
}

// Header implements events.Envelope.
func (e envelope) Header(i int, name string) (value []byte, ok bool) {
	value, ok = e.Records.Header(e.first+i, name)
	return value, ok && value != nil
}
