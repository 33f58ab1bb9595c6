package connectors

import (
	"context"
	"iter"
)

// Outbox appends groups of messages to a topic, each group once: a reader of
// committed records sees all of its messages or none, and never twice, however
// often and by how many processes a group is delivered. It is used by one
// goroutine at a time.
type Outbox interface {
	// Deliver returns when the group's messages are in the topic for good. The
	// groups of one line are delivered in rising order of Seq, and whoever delivers
	// the same Seq gives the same messages; messages may be asked for more than
	// once. After an error the messages may be there all the same: deliver the group
	// again, here or elsewhere.
	Deliver(ctx context.Context, g Group, messages iter.Seq2[Message, error]) error
	Close() error
}

// Group names messages that are delivered together.
type Group struct {
	Line string // of groups that follow each other: 32 hex digits
	Seq  uint64 // position in the line; a line may skip numbers
	ID   string // unique to the group
	// BegunAtUS is when the group came into being, microseconds since 1970 UTC.
	BegunAtUS int64
}

// Message is one message for a topic.
type Message struct {
	Key     []byte // nil is a null
	Value   []byte // likewise
	Headers []Header
}

// Header is one header of a message.
type Header struct {
	Name  string
	Value []byte // nil is a null
}
