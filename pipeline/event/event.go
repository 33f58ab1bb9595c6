// Package event turns the events of a stream, JSON objects, into canonical
// Arrow batches, and rows back into events. A Decoder reads each event once,
// straight into column buffers; an event that does not fit the schema is
// rejected by name and never bent to fit.
package event

import (
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The values of Config.OnUnknownField, as on_unknown_field spells them.
const (
	Ignore     = "ignore"
	DeadLetter = "dead_letter"
)

const (
	// defaultMaxEventBytes is what a Kafka broker accepts by default.
	defaultMaxEventBytes = 1 << 20
	// maxDepth bounds the nesting of an event. Columns are flat, so nesting only
	// occurs in fields that are ignored; real events stay in single digits.
	maxDepth = 64
	// maxBatchBytes bounds the values of one Decode: positions in a dictionary
	// are 32 bits wide.
	maxBatchBytes = math.MaxInt32
)

// Config tunes a Decoder.
type Config struct {
	// MaxEventBytes is the size in bytes above which an event is rejected unread.
	// Default 1 MiB, the bound of a Kafka broker.
	MaxEventBytes int
	// TimestampFormats are tried in order on a timestamp column's values:
	// rfc3339, epoch_ms (a whole number of milliseconds since 1970 UTC), or a
	// layout of Go's time package. Default DefaultTimestampFormats.
	TimestampFormats []string
	// OnUnknownField says what becomes of an event with a field that is no
	// column: Ignore (the field is passed over, the default) or DeadLetter (the
	// event is rejected).
	OnUnknownField string
	// Zone is where timestamps that name no zone were written down. Default UTC.
	Zone *time.Location
	// Allocator holds the batches. Default memory.DefaultAllocator.
	Allocator memory.Allocator
}

func (c Config) withDefaults() Config {
	if c.MaxEventBytes == 0 {
		c.MaxEventBytes = defaultMaxEventBytes
	}
	if len(c.TimestampFormats) == 0 {
		c.TimestampFormats = DefaultTimestampFormats()
	}
	if c.OnUnknownField == "" {
		c.OnUnknownField = Ignore
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Allocator == nil {
		c.Allocator = memory.DefaultAllocator
	}
	return c
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.MaxEventBytes < 0 {
		return invalid("max event bytes", fmt.Sprintf("%d is negative", c.MaxEventBytes))
	}
	if c.OnUnknownField != "" && c.OnUnknownField != Ignore && c.OnUnknownField != DeadLetter {
		return invalid("on_unknown_field", fmt.Sprintf("%q is neither %s nor %s", c.OnUnknownField, Ignore, DeadLetter))
	}
	_, err := newTimestampParser(c.TimestampFormats, time.UTC)
	return err
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
}

// Decoder decodes events against one schema. It is for one goroutine; make
// one each. Decode is a pure function of its arguments: the same events give
// the same arrays, dictionaries included, whatever was decoded before.
type Decoder struct {
	cfg    Config
	arrow  *arrow.Schema
	times  *timestampParser
	cols   []column
	byName map[string]int

	// follow[i+1] is the column whose field came after column i's in earlier
	// events, follow[0] the one that came first: producers write their fields in
	// one order, so the guess is nearly always right and one comparison finds
	// the column. A wrong guess costs only time.
	follow []int

	// fields is how many columns an event can fill: all that are not skipped.
	fields int

	scratch []byte // unescaped strings

	// The state of one Decode.
	rows    int // rows accepted so far; the position that cells are written to
	rowIDs  []int64
	rejects []Reject

	// The state of one event.
	stamp   uint64 // tells this event's cells from older ones
	filled  int    // columns that have a value
	unknown int    // byte offset of the first unknown field, or -1
	failed  failure
}

// NewDecoder returns a decoder of events whose fields are the columns of
// schema. Fields may come in any order; a field missing or null is null, or
// rejects the event where the column is not nullable. A column that is
// TrainingOnly is all null, whatever an event says: it is not there when
// events are scored.
func NewDecoder(schema table.Schema, cfg Config) (*Decoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	times, err := newTimestampParser(cfg.TimestampFormats, cfg.Zone)
	if err != nil {
		return nil, err
	}
	if len(schema.Columns) == 0 {
		return nil, invalid("schema", "it has no columns")
	}
	d := &Decoder{
		cfg:    cfg,
		times:  times,
		cols:   make([]column, len(schema.Columns)),
		byName: make(map[string]int, len(schema.Columns)),
		follow: make([]int, len(schema.Columns)+1),
	}
	seed := newHashSeed()
	for i, c := range schema.Columns {
		if c.Type.ArrowType() == nil {
			return nil, invalid(fmt.Sprintf("column %q", c.Name), fmt.Sprintf("%q is no column type", c.Type))
		}
		if _, twice := d.byName[c.Name]; twice || c.Name == table.RowColumn {
			return nil, invalid(fmt.Sprintf("column %q", c.Name), "the name is taken")
		}
		d.byName[c.Name] = i
		d.follow[i] = i
		d.cols[i] = newColumn(c, seed)
		if !c.TrainingOnly {
			d.fields++
		}
	}
	d.arrow = batchSchema(schema)
	return d, nil
}

// batchSchema is the schema's Arrow form, but for TrainingOnly columns, which
// are nullable here: they hold nothing else.
func batchSchema(schema table.Schema) *arrow.Schema {
	columns := append([]table.Column(nil), schema.Columns...)
	for i := range columns {
		columns[i].Nullable = columns[i].Nullable || columns[i].TrainingOnly
	}
	return table.Schema{Columns: columns}.Arrow()
}

// Schema returns the Arrow schema of the batches: the columns, then
// table.RowColumn.
func (d *Decoder) Schema() *arrow.Schema { return d.arrow }

// Decode decodes a run of events laid out as in connectors.Records: event i is
// values[ends[i-1]:ends[i]], its offset is offsets[i], and it is a tombstone if
// nulls[i] (nulls may be nil: none is). The batch holds the accepted events in
// order with their offsets in table.RowColumn; the caller releases it. It
// shares no memory with values. Every event is either a row or a Reject. The
// error is non-nil only for arguments that do not fit together (Invalid) or
// that are too large (Exhausted).
//
// What is accepted: one JSON object (RFC 8259) per event. Of a field that
// occurs twice the last one counts, as in encoding/json, but field names match
// exactly. An int64 column takes any number that is whole and in range (7, 7.0
// and 7e0 alike, never rounded); a float64 column any number in range, rounded
// to nearest; a string column strings of valid UTF-8, where encoding/json would
// put U+FFFD instead; a timestamp column what Config.TimestampFormats say,
// digits below a microsecond cut off. Fields that are no columns are checked
// for their syntax only.
func (d *Decoder) Decode(values []byte, ends []int, offsets []int64, nulls []bool) (arrow.Record, []Reject, error) {
	if err := checkLayout(values, ends, offsets, nulls); err != nil {
		return nil, nil, err
	}
	d.begin(len(ends))
	start := 0
	for i, end := range ends {
		switch {
		case nulls != nil && nulls[i]:
			d.reject(offsets[i], i, "the event is null (a tombstone)", "null event")
		case end-start > d.cfg.MaxEventBytes:
			d.reject(offsets[i], i, fmt.Sprintf("the event has %d bytes, the bound is %d", end-start, d.cfg.MaxEventBytes), "event too large")
		default:
			d.event(values[start:end], offsets[i], i)
		}
		start = end
	}
	rejects := d.rejects
	d.rejects = nil
	return d.finish(), rejects, nil
}

func checkLayout(values []byte, ends []int, offsets []int64, nulls []bool) error {
	bad := func(kind thalweg.Kind, hint string) error {
		return &thalweg.Error{Op: "decode events", Kind: kind, Subject: fmt.Sprintf("%d events", len(ends)), Hint: hint}
	}
	if len(offsets) != len(ends) || nulls != nil && len(nulls) != len(ends) {
		return bad(thalweg.Invalid, fmt.Sprintf("%d offsets and %d nulls", len(offsets), len(nulls)))
	}
	if len(values) > maxBatchBytes {
		return bad(thalweg.Exhausted, fmt.Sprintf("%d bytes, the bound of a batch is %d", len(values), maxBatchBytes))
	}
	start := 0
	for _, end := range ends {
		if end < start || end > len(values) {
			return bad(thalweg.Invalid, fmt.Sprintf("an event ends at byte %d, after byte %d of %d", end, start, len(values)))
		}
		start = end
	}
	return nil
}

func (d *Decoder) reject(row int64, index int, reason, cause string) {
	d.rejects = append(d.rejects, Reject{Row: row, Index: index, Reason: reason, Cause: cause})
}

// event scans one event and either accepts it as row d.rows or rejects it.
func (d *Decoder) event(b []byte, row int64, index int) {
	d.stamp++
	d.filled = 0
	d.unknown = -1
	if !d.object(b) {
		reason, cause := d.failed.words()
		d.reject(row, index, reason, cause)
		return
	}
	if d.unknown >= 0 && d.cfg.OnUnknownField == DeadLetter {
		d.reject(row, index, fmt.Sprintf("a field that is no column at byte %d", d.unknown), "unknown field")
		return
	}
	if d.filled < d.fields && !d.settle(row, index) {
		return
	}
	d.rowIDs[d.rows] = row
	d.rows++
}

// settle treats the columns that got no value: null where they may be, else it
// rejects the event and returns false.
func (d *Decoder) settle(row int64, index int) bool {
	for i := range d.cols {
		c := &d.cols[i]
		state := absent
		if c.stamp == d.stamp {
			state = c.state
		}
		switch {
		case c.skip || state == filled:
			continue
		case state == illTyped:
			found := c.found
			d.reject(row, index,
				fmt.Sprintf("field %q: want %s, found %s at byte %d", c.name, c.want(d.times), found, c.at),
				fmt.Sprintf("%s: want %s, found %s", c.name, c.typ, found))
			return false
		case c.nullable:
			continue
		case state == null:
			d.reject(row, index,
				fmt.Sprintf("field %q: want %s, found null at byte %d, and the column is not nullable", c.name, c.typ, c.at),
				fmt.Sprintf("%s: null in a column that is not nullable", c.name))
			return false
		default:
			d.reject(row, index,
				fmt.Sprintf("field %q: missing, and the column is not nullable", c.name),
				fmt.Sprintf("%s: missing in a column that is not nullable", c.name))
			return false
		}
	}
	for i := range d.cols {
		c := &d.cols[i]
		if !c.skip && !(c.stamp == d.stamp && c.state == filled) {
			c.setNull(d.rows)
		}
	}
	return true
}
