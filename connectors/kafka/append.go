package kafka

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// Appender is a connectors.Appender into Config.Topic, by the transactions of an
// Outbox: the position is an offset of the line's consumer group, and its note
// the metadata of that offset.
type Appender struct{ outbox *Outbox }

var _ connectors.Appender = (*Appender)(nil)

// NewAppender returns an Appender into cfg.Topic. It does not connect.
func NewAppender(cfg Config, oc OutboxConfig) (*Appender, error) {
	o, err := NewOutbox(cfg, oc)
	return &Appender{o}, err
}

// Begin implements connectors.Appender. NotFound: there is no such topic;
// Invalid: the brokers do not permit it.
func (a *Appender) Begin(ctx context.Context, line string) (connectors.Position, error) {
	o := a.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.open(ctx, line); err != nil {
		o.end()
		return connectors.Position{}, err
	}
	return o.position, nil
}

// Append implements connectors.Appender. A message that the topic does not take is
// cut until it does, as an Outbox cuts it.
func (a *Appender) Append(ctx context.Context, to connectors.Position, messages []connectors.Message) error {
	o := a.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.line == "" {
		return &thalweg.Error{Op: "append", Kind: thalweg.Unavailable, Subject: o.brokers.Topic, Hint: "the line is not begun"}
	}
	for {
		before, line := o.position, o.line
		err := o.transact(ctx, to, true, all(messages))
		if err == nil {
			return nil
		}
		o.end() // whatever happened, the next beginning aborts it or finds it done
		if !tooLarge(err) || o.limit <= smallestMessage {
			return err
		}
		o.limit /= 2
		if err := o.open(ctx, line); err != nil {
			o.end()
			return err
		}
		if o.position != before {
			o.end()
			return &thalweg.Error{Op: "append", Kind: thalweg.Fenced, Subject: o.id(line)}
		}
	}
}

func all(messages []connectors.Message) iter.Seq2[connectors.Message, error] {
	return func(yield func(connectors.Message, error) bool) {
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// Close ends the connections.
func (a *Appender) Close() error { return a.outbox.Close() }
