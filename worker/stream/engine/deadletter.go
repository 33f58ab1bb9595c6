package engine

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	events "github.com/thalweg/thalweg/pipeline/event"
)

// DeadLetter is one event that could not be scored, as a line of JSON.
type DeadLetter struct {
	Topic       string `json:"topic"`
	Partition   int    `json:"partition"`
	Offset      int64  `json:"offset"`
	TimestampUS int64  `json:"timestamp_us"` // of the record, microseconds since 1970 UTC
	// Stage is where it failed: "fetch" (its bytes could not be had), "decode", a
	// cleaning step ("3 filter"), "test", "features", "model" or "score" (a step makes too
	// much of the event, or an error of the code itself).
	Stage          string               `json:"stage"`
	Reason         string               `json:"reason"`
	Model          thalweg.ModelName    `json:"model"`
	ModelVersion   thalweg.ModelVersion `json:"model_version"`
	SpecGeneration thalweg.Generation   `json:"spec_generation"`
	SizeBytes      int                  `json:"size"` // of the event
	// Raw is the event, or its beginning where Truncated; Text is the same for
	// readers, where it is UTF-8. A null event has neither.
	Raw       []byte  `json:"raw"`
	Text      *string `json:"text,omitempty"`
	Truncated bool    `json:"truncated,omitempty"`
	// Withheld: columns have pii, so that nothing is kept of the event and what is around
	// it, which the topic has, but Columns: those of its row as scored rows would have
	// them or, where it is no row, masked texts of those that could be read.
	Withheld bool            `json:"withheld,omitempty"`
	Columns  json.RawMessage `json:"columns,omitempty"`
	// Around names what else is kept of the record, because a version reads it:
	// "key", "headers". A key that is null is left out.
	Around  []string `json:"around,omitempty"`
	Key     []byte   `json:"key,omitzero"`
	Headers []Header `json:"headers,omitempty"`
	// Replay is the ID of the intent by which the event was scored again, in vain;
	// empty in what the stream itself left.
	Replay string `json:"replay,omitempty"`
}

// Whole reports whether all was kept that a version needs to score the event
// again, which reads so much of the record around it.
func (d *DeadLetter) Whole(needs connectors.Fields) bool {
	return !d.Truncated && !d.Withheld && d.Stage != stageFetch && needs&^d.fields() == 0
}

// Rereadable reports whether the event can be scored again although nothing was kept
// of it: by its place in the topic, if that still has it.
func (d *DeadLetter) Rereadable() bool { return d.Withheld && d.Stage != stageFetch }

// Header is one header of a record; a null value is null.
type Header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// The values of DeadLetter.Around.
const (
	aroundKey     = "key"
	aroundHeaders = "headers"
)

// setAround keeps what the record has around the event, as far as it was
// fetched, unless it has more than limit bytes.
func (d *DeadLetter) setAround(b *Batch, i, limit int) {
	r, at := b.Records, b.first+i
	if r.Want == 0 {
		return
	}
	if r.SizeOf(at)-len(r.Value(at)) > limit {
		d.Truncated = true
		return
	}
	if r.Want&connectors.Keys != 0 {
		d.Around = append(d.Around, aroundKey)
		d.Key = r.Key(at)
	}
	if r.Want&connectors.Headers != 0 {
		d.Around = append(d.Around, aroundHeaders)
		for name, value := range r.AllHeaders(at) {
			d.Headers = append(d.Headers, Header{string(name), value})
		}
	}
}

func (d *DeadLetter) fields() (kept connectors.Fields) {
	if slices.Contains(d.Around, aroundKey) {
		kept |= connectors.Keys
	}
	if slices.Contains(d.Around, aroundHeaders) {
		kept |= connectors.Headers
	}
	return kept
}

// setRaw keeps at most limit bytes of an event.
func (d *DeadLetter) setRaw(value []byte, limit int) {
	d.SizeBytes = len(value)
	if len(value) > limit {
		value, d.Truncated = value[:limit], true
	}
	d.Raw = value
	if utf8.Valid(value) {
		text := string(value)
		d.Text = &text
	}
}

// withhold notes what may be known of an event: its size, and the shapes of its values
// or, where there are none, its row among those that could be decoded.
func (d *DeadLetter) withhold(size int, shapes map[string]string, rec arrow.Record) {
	d.SizeBytes, d.Withheld = size, true
	if row, ok := slices.BinarySearch(offsetsOf(rec), d.Offset); ok {
		d.Columns = events.AppendJSON(nil, rec, row)
	} else if shapes != nil {
		d.Columns, _ = json.Marshal(shapes) // texts can always be written
	}
}

// AppendLine writes d as one line. Fields are in the order of the struct, so
// that the same letter is the same bytes.
func (d *DeadLetter) AppendLine(to *bytes.Buffer) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(d)
}
