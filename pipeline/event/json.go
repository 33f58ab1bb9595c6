package event

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
)

// JSONFormat is JSON objects, one an event.
type JSONFormat struct {
	// OnUnknownField is what becomes of an event with a field that is no column: the
	// field is passed over, or the event is kept as a dead letter.
	OnUnknownField string `yaml:"on_unknown_field,omitempty" json:"on_unknown_field,omitempty" jsonschema:"enum=ignore,enum=dead_letter" default:"ignore"`
	// TimestampFormats of texts in events are tried in order: rfc3339, epoch_ms (of
	// numbers too), or a layout of Go's time package.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
}

// Defaults implements pipeline.Defaulter.
func (f *JSONFormat) Defaults(at pipeline.Place) { defaultTimestamps(at, &f.TimestampFormats) }

// Check implements pipeline.Checker.
func (f *JSONFormat) Check(at pipeline.Place) { checkTimestamps(at, f.TimestampFormats) }

// FieldNames implements pipeline.EventFormat.
func (*JSONFormat) FieldNames() []string { return nil }

// Schema implements pipeline.EventFormat.
func (*JSONFormat) Schema() (file, registry string) { return "", "" }

// TimeFormats implements Format.
func (f *JSONFormat) TimeFormats() []string { return f.TimestampFormats }

// Open implements Format.
func (f *JSONFormat) Open(c *Cells) (Reader, error) { return newJSON(c, f), nil }

// jsonFormat reads JSON objects (RFC 8259), one an event. Field names match
// exactly. A column's field that occurs twice rejects the event: nobody can tell
// which of them is meant, and readers differ. An int64 column takes 7, 7.0 and
// 7e0 alike. Strings must be valid UTF-8, where encoding/json would put U+FFFD
// instead. Fields that are no columns are checked for their syntax only. A column
// a.b is filled by a field of that name, or by field b of the object in field a.
type jsonFormat struct {
	Cells
	options *JSONFormat
	root    *jsonLevel
	scratch []byte // unescaped strings

	// The state of one event.
	depth   int     // of the object that is read
	unknown int     // byte offset of the first unknown field, or -1
	twice   *column // whose field came a second time, its value at byte again
	again   int
}

func newJSON(c *Cells, options *JSONFormat) *jsonFormat {
	return &jsonFormat{Cells: *c, options: options, root: newLevel(c)}
}

func (d *jsonFormat) Read(b []byte) bool {
	d.depth, d.unknown, d.twice = 1, -1, nil
	if !d.object(b) {
		if what := d.disguise(b); what != "" {
			return d.Refuse("not JSON: "+what, "not JSON")
		}
		return false
	}
	if d.twice != nil {
		name := d.twice.name
		return d.Refuse(fmt.Sprintf("field %q: appears twice, the second value at byte %d", name, d.again), name+": appears twice")
	}
	if d.unknown >= 0 && d.options.OnUnknownField == DeadLetter && !d.foreign() {
		return d.Refuse(fmt.Sprintf("a field that is no column at byte %d", d.unknown), "unknown field")
	}
	return true
}

// FieldNames implements Reader.
func (d *jsonFormat) FieldNames(b []byte) (names []string) {
	p := space(b, space(b, 0)+1)
	for b[p] != '}' && len(names) < maxNames {
		name, next := d.name(b, p)
		names = append(names, string(name))
		if p = space(b, d.pass(b, next, 1)); b[p] == ',' {
			p = space(b, p+1)
		}
	}
	return names
}
