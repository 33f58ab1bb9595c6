package engine

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
)

// The headers of a dead letter and of a scored row in a topic.
const (
	HeaderTopic      = "thalweg.topic"
	HeaderPartition  = "thalweg.partition"
	HeaderOffset     = "thalweg.offset"
	HeaderTimestamp  = "thalweg.timestamp_us" // of the record, microseconds since 1970 UTC
	HeaderModel      = "thalweg.model"
	HeaderVersion    = "thalweg.model_version"
	HeaderGeneration = "thalweg.spec_generation"
)

// Outgoing is scored rows on their way to a topic, in the order of their offsets.
type Outgoing struct {
	// ScoredAt is the _scored_at of the rows that Score adds, microseconds since 1970
	// UTC, and From the offset before which it adds none.
	ScoredAt int64
	From     int64

	Messages   []connectors.Message
	Offsets    []int64 // of the events
	Timestamps []int64 // likewise, microseconds since 1970 UTC
	Bytes      int64   // of the messages, about
}

// Add adds a row.
func (o *Outgoing) Add(m connectors.Message, offset, timestamp int64) {
	o.Messages, o.Offsets, o.Timestamps = append(o.Messages, m), append(o.Offsets, offset), append(o.Timestamps, timestamp)
	o.Bytes += outgoingBytes(m)
}

// outgoingBytes is the memory that a message takes, about.
func outgoingBytes(m connectors.Message) int64 {
	const around = 512 // headers, whose values rows share, and what names them
	return int64(len(m.Key)+len(m.Value)) + around
}

// Append adds the rows of another, which follow.
func (o *Outgoing) Append(more *Outgoing) {
	o.Messages, o.Offsets, o.Timestamps = append(o.Messages, more.Messages...), append(o.Offsets, more.Offsets...), append(o.Timestamps, more.Timestamps...)
	o.Bytes += more.Bytes
}

// DropBefore forgets the rows before an offset.
func (o *Outgoing) DropBefore(offset int64) {
	n, _ := slices.BinarySearch(o.Offsets, offset)
	for _, m := range o.Messages[:n] {
		o.Bytes -= outgoingBytes(m)
	}
	o.Messages, o.Offsets, o.Timestamps = o.Messages[n:], o.Offsets[n:], o.Timestamps[n:]
	if len(o.Messages) == 0 {
		o.Messages, o.Offsets, o.Timestamps = nil, nil, nil // what is sent needs no room
	}
}

// largeRow is the size from which a topic may not take a row.
const largeRow = 1 << 10

// send adds the rows of a batch to what is to be sent, as the files will have them.
func (e *artifactEngine) send(b *Batch, pieces []piece, dst *Rows) error {
	out := dst.Send
	header := func(name, value string) connectors.Header { return connectors.Header{Name: name, Value: []byte(value)} }
	same := []connectors.Header{header(HeaderTopic, dst.Topic), header(HeaderPartition, strconv.Itoa(dst.Partition)), header(HeaderModel, string(e.model.Name)),
		header(HeaderVersion, strconv.FormatUint(uint64(e.model.Version), 10)), header(HeaderGeneration, strconv.FormatUint(uint64(dst.Generation), 10))}
	from := artifact.Origin{Topic: dst.Topic, Partition: dst.Partition, Version: e.model.Version, Generation: dst.Generation, ScoredAt: out.ScoredAt}
	at := 0 // in the batch, whose offsets rise as those of the rows do
	for _, p := range pieces {
		if len(p.predictions) == 0 {
			continue
		}
		rec, err := e.output.Output(p.cleaned, p.predictions, from)
		if err != nil {
			return err
		}
		var values []byte
		for i, offset := range offsetsOf(p.cleaned) {
			if offset < out.From {
				continue
			}
			for b.Offsets()[at] < offset {
				at++
			}
			start := len(values)
			values = events.AppendJSON(values, rec, i)
			m := connectors.Message{Key: e.keyOf(b, at), Value: values[start:len(values):len(values)]}
			m.Headers = append(make([]connectors.Header, 0, len(same)+2), same...)
			m.Headers = append(m.Headers, header(HeaderOffset, strconv.FormatInt(offset, 10)), header(HeaderTimestamp, strconv.FormatInt(b.Timestamps()[at], 10)))
			if len(m.Value) >= largeRow {
				m.Shorter = func() []byte { return e.withoutColumns(m.Value) }
			}
			out.Add(m, offset, b.Timestamps()[at])
		}
		rec.Release()
	}
	return nil
}

// keyOf returns the key of a record, if a row may have it: where columns have pii,
// nobody knows whether it says what they may not.
func (e *artifactEngine) keyOf(b *Batch, i int) []byte {
	if e.private {
		return nil
	}
	return slices.Clone(b.Records.Key(b.first + i))
}

// withoutColumns returns a row without the columns that come from its event: those
// that scoring adds have a bound.
func (e *artifactEngine) withoutColumns(row []byte) []byte {
	var columns map[string]json.RawMessage
	if json.Unmarshal(row, &columns) != nil {
		return nil
	}
	for _, c := range e.output.Cleaned().Columns {
		delete(columns, c.Name)
	}
	short, err := json.Marshal(columns)
	if err != nil {
		return nil
	}
	return short
}
