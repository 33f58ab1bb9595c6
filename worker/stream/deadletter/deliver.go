package deadletter

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// The headers of a dead letter in a topic, besides those that scored rows have too
// and those of its record. Its value is the event, its key topic/partition/offset.
const (
	headerStage     = "thalweg.stage"
	headerReason    = "thalweg.reason"
	headerIntent    = "thalweg.intent"
	headerSize      = "thalweg.size"      // of the event
	headerTruncated = "thalweg.truncated" // the same, where the value is only its beginning
	headerWithheld  = "thalweg.withheld"  // the same, where the value is what may be known of its columns
	headerKey       = "thalweg.key"       // of the record, where it is kept
)

// Deliverer puts the dead letters of a log's pending slots into a topic. It is
// used by one goroutine.
type Deliverer struct {
	Outbox connectors.Outbox
	Log    *commitlog.Log
	// Messages are those of an object of dead letters; nil: messagesOf.
	Messages func(in commitlog.Intent, lines []byte) iter.Seq2[connectors.Message, error]
	line     string // that deliveries are numbered in, once it is known
}

// Deliver delivers the dead letters of the log's pending intent. That may take
// until somebody makes the topic or permits writing to it.
func (d *Deliverer) Deliver(ctx context.Context, lines []byte) error {
	messages := d.Messages
	if messages == nil {
		messages = messagesOf
	}
	pending := d.Log.State().Pending
	line, err := d.lineOf(ctx, pending)
	if err == nil {
		err = d.Outbox.Deliver(ctx, connectors.Group{Line: line, Seq: pending.Seq, ID: pending.ID, BegunAtUS: pending.ScoredAtUS}, messages(*pending, lines))
	}
	if err == nil || thalweg.Is(err, thalweg.Canceled) {
		return err
	}
	return &thalweg.Error{Op: "deliver dead letters", Kind: thalweg.Unavailable, Err: err}
}

// lineOf returns what tells this log from all others, another under the same
// name before it included: the ID of its first intent.
func (d *Deliverer) lineOf(ctx context.Context, pending *commitlog.Intent) (string, error) {
	if d.line == "" {
		if pending.Seq == 0 {
			return pending.ID, nil
		}
		first, err := d.Log.Entry(ctx, 0)
		if err != nil {
			return "", err
		}
		d.line = first.Intent.ID
	}
	return d.line, nil
}

func messagesOf(in commitlog.Intent, lines []byte) iter.Seq2[connectors.Message, error] {
	return func(yield func(connectors.Message, error) bool) {
		for d, err := range engine.DeadLetters(lines) {
			if !yield(messageOf(d, in.ID), err) {
				return
			}
		}
	}
}

func messageOf(d engine.DeadLetter, intent string) connectors.Message {
	m := connectors.Message{Key: fmt.Appendf(nil, "%s/%d/%d", d.Topic, d.Partition, d.Offset), Value: d.Raw}
	add := func(name, value string) {
		m.Headers = append(m.Headers, connectors.Header{Name: name, Value: []byte(value)})
	}
	number := func(name string, value int64) { add(name, strconv.FormatInt(value, 10)) }
	add(engine.HeaderTopic, d.Topic)
	number(engine.HeaderPartition, int64(d.Partition))
	number(engine.HeaderOffset, d.Offset)
	number(engine.HeaderTimestamp, d.TimestampUS)
	add(headerStage, d.Stage)
	add(headerReason, d.Reason)
	add(engine.HeaderModel, string(d.Model))
	number(engine.HeaderVersion, int64(d.ModelVersion))
	number(engine.HeaderGeneration, int64(d.SpecGeneration))
	add(headerIntent, intent)
	number(headerSize, int64(d.SizeBytes))
	if d.Truncated {
		number(headerTruncated, int64(d.SizeBytes))
	}
	if d.Withheld {
		m.Value = d.Columns
		number(headerWithheld, int64(d.SizeBytes))
	}
	if d.Key != nil {
		m.Headers = append(m.Headers, connectors.Header{Name: headerKey, Value: d.Key})
	}
	for _, h := range d.Headers {
		m.Headers = append(m.Headers, connectors.Header(h))
	}
	return m
}
