// Package event turns the events of a stream into canonical Arrow batches, and
// rows back into events. A Decoder reads each event once, straight into column
// buffers, whichever of the formats in catalog.go it has; an event that does not
// fit the schema is rejected by name and never bent to fit.
package event

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// The values of on_unknown_field.
const (
	Ignore     = "ignore" // the default: producers add fields before consumers know them
	DeadLetter = "dead_letter"
)

const (
	// defaultMaxEventBytes is what a Kafka broker accepts by default.
	defaultMaxEventBytes = 1 << 20
	// maxDepth bounds the nesting of an event, and of a schema; real events stay in
	// single digits.
	maxDepth = 64
	// maxBatchBytes bounds the values of one Decode: positions in a dictionary
	// are 32 bits wide.
	maxBatchBytes = math.MaxInt32
)

// Config tunes a Decoder.
type Config struct {
	// Format is that of events. Default JSONFormat.
	Format Format
	// Schema is the Avro schema of all events, which are nothing but one encoded
	// value each.
	Schema string
	// Schemas knows the schema of each Avro event, which begins with a zero and the
	// schema's id in four bytes (Confluent's wire format). Avro wants one of the two.
	Schemas Schemas
	// MaxEventBytes is the size in bytes above which an event is rejected unread.
	// Default 1 MiB, the bound of a Kafka broker.
	MaxEventBytes int
	// Unread names columns that nothing reads: a value that is none of the column's
	// is null, and the event is no reject for it.
	Unread []string
	// Sparse: an event may have a field for none of the columns.
	Sparse bool
	// Private: what is said of a reject quotes nothing of the event, and the reject has
	// the shapes of its values. It is so too where a column has PII.
	Private bool
	// Zone is where timestamps that name no zone were written down. Default UTC.
	Zone *time.Location
	// Allocator holds the batches. Default memory.DefaultAllocator.
	Allocator memory.Allocator
}

// complete returns c with its defaults, or what is wrong with it.
func (c Config) complete() (Config, error) {
	if c.Format == nil {
		c.Format = new(JSONFormat)
	}
	if c.MaxEventBytes < 0 {
		return c, invalid("max event bytes", fmt.Sprintf("%d is negative", c.MaxEventBytes))
	}
	c.MaxEventBytes = cmp.Or(c.MaxEventBytes, defaultMaxEventBytes)
	c.Zone = cmp.Or(c.Zone, time.UTC)
	if c.Allocator == nil {
		c.Allocator = memory.DefaultAllocator
	}
	options, err := pipeline.Complete(c.Format)
	if err != nil {
		return c, &thalweg.Error{Op: "configure event decoder", Kind: thalweg.Invalid, Err: err}
	}
	c.Format = options.(Format)
	return c, nil
}

func invalid(subject, hint string) error {
	return &thalweg.Error{Op: "configure event decoder", Kind: thalweg.Invalid, Subject: subject, Hint: hint}
}

// Reject is one event that is no row of the schema.
type Reject struct {
	Row   int64 // the event's offset, what RowColumn would have held
	Index int   // its position among the events passed to Decode
	// Reason is for whoever mends the event: the field, what was wanted and
	// found, and the byte offset within the event.
	Reason string
	// Cause is Reason without what differs from event to event, so that rejects
	// can be counted by it.
	Cause string
	// Shapes has the columns that could be read, masked, where Config.Private; nil
	// otherwise.
	Shapes map[string]string
}

// Events is a run of events of one partition, laid out as in
// connectors.Records: event i is Values[Ends[i-1]:Ends[i]] and has the offset
// Offsets[i].
type Events struct {
	Values  []byte
	Ends    []int
	Offsets []int64
	// Nulls tells which are tombstones; nil: none is.
	Nulls []bool
	// Unreadable says, by index, why the bytes of an event could not be had: it
	// is rejected for that reason. May be nil.
	Unreadable map[int]string
	// Partition and Around are what columns with a From are filled from. Around
	// may be nil where the schema has none.
	Partition int
	Around    Envelope
}

// Len returns the number of events.
func (e *Events) Len() int { return len(e.Ends) }

// check reports fields that do not fit together.
func (e *Events) check() error {
	bad := func(kind thalweg.Kind, hint string) error {
		return &thalweg.Error{Op: "decode events", Kind: kind, Subject: fmt.Sprintf("%d events", len(e.Ends)), Hint: hint}
	}
	if len(e.Offsets) != len(e.Ends) || e.Nulls != nil && len(e.Nulls) != len(e.Ends) {
		return bad(thalweg.Invalid, fmt.Sprintf("%d offsets and %d nulls", len(e.Offsets), len(e.Nulls)))
	}
	if len(e.Values) > maxBatchBytes {
		return bad(thalweg.Exhausted, fmt.Sprintf("%d bytes, the bound of a batch is %d", len(e.Values), maxBatchBytes))
	}
	start := 0
	for _, end := range e.Ends {
		if end < start || end > len(e.Values) {
			return bad(thalweg.Invalid, fmt.Sprintf("an event ends at byte %d, after byte %d of %d", end, start, len(e.Values)))
		}
		start = end
	}
	return nil
}

// Envelope is what the records around a run of events say. What it returns is
// valid until the events are.
type Envelope interface {
	// Timestamp is that of record i, in microseconds since 1970 UTC.
	Timestamp(i int) int64
	// Key returns the key of record i; ok is false where it is null.
	Key(i int) (key []byte, ok bool)
	// Header returns the last header of a name of record i; ok is false where
	// there is none, or it is null.
	Header(i int, name string) (value []byte, ok bool)
}
