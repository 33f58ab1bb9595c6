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
	// Shorter returns what stands for Value in a topic that does not take so large
	// a message. nil: the value is cut off.
	Shorter func() []byte
}

// Header is one header of a message.
type Header struct {
	Name  string
	Value []byte // nil is a null
}

// Appender appends messages to a topic and commits with them how far it has got,
// both or neither: a reader of committed records sees each message once. It is
// used by one goroutine at a time.
type Appender interface {
	// Begin takes a line over: whoever appended to it before can do so no more, and
	// what they left open is in the topic never. It returns the position that was
	// committed last.
	Begin(ctx context.Context, line string) (Position, error)
	// Append commits messages and the position that they lead to, in the line that
	// was begun. Without messages it commits the position alone. Fenced: another has
	// taken the line over. After any error nobody knows whether it is committed
	// before Begin tells.
	Append(ctx context.Context, to Position, messages []Message) error
	Close() error
}

// Position is how far a line of appended messages has got.
type Position struct {
	Next int64  // all before is in the topic; -1: nothing is known of the line
	Note string // of the appender's own, at most 4096 bytes
}
