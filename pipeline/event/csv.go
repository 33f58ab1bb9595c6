package event

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

//go:embed csv.go
var csvSource string

// CSVFormat is records of RFC 4180, one an event.
type CSVFormat struct {
	// TimestampFormats of texts in events are tried in order: rfc3339, epoch_ms (of
	// numbers too), or a layout of Go's time package.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
	// Delimiter stands between the fields: one ASCII character.
	Delimiter string `yaml:"delimiter,omitempty" json:"delimiter,omitempty" default:"','"`
	// Columns are the fields in order; those that are no columns of the schema are
	// passed over. Default: the columns that events have, in the order of the schema.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty"`
	// NullText is what a field that is null holds, not in quotes. Default: nothing.
	NullText *string `yaml:"null_text,omitempty" json:"null_text,omitempty" default:"''"`
}

// Defaults implements pipeline.Defaulter.
func (f *CSVFormat) Defaults(at pipeline.Place) { defaultTimestamps(at, &f.TimestampFormats) }

// Check implements pipeline.Checker.
func (f *CSVFormat) Check(at pipeline.Place) {
	if d := f.Delimiter; len(d) != 1 || d[0] >= 0x80 || strings.ContainsAny(d, "\"\r\n\x00") {
		at.Problem("delimiter", `"," or "\t"`, "%q is not one ASCII character other than a quote and line ends", d)
	}
	if f.NullText != nil && strings.ContainsAny(*f.NullText, f.Delimiter+"\"\r\n") {
		at.Problem("null_text", "", "%q cannot be a field without quotes", *f.NullText)
	}
	for i, name := range f.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		if name == "" {
			at.Problem(field, "", "the field is empty")
		} else if first := slices.Index(f.Columns, name); first < i {
			at.Problem(field, fmt.Sprintf("columns[%d] has it too", first), "a second column of the name %s", name)
		}
	}
	checkTimestamps(at, f.TimestampFormats)
}

// FieldNames implements pipeline.EventFormat.
func (f *CSVFormat) FieldNames() []string { return f.Columns }

// Flat implements pipeline.FlatFormat.
func (*CSVFormat) Flat() {}

// Schema implements pipeline.EventFormat.
func (*CSVFormat) Schema() (file, registry string) { return "", "" }

// TimeFormats implements Format.
func (f *CSVFormat) TimeFormats() []string { return f.TimestampFormats }

// Open implements Format.
func (f *CSVFormat) Open(c *Cells) (Reader, error) { return newCSV(c, f), nil }

// csvFormat reads one record of RFC 4180 an event: fields between delimiters, in
// quotes if need be, with or without a line end behind them. It takes what
// encoding/csv takes as one record, and the same fields but for line ends in
// quotes, which stay as they are. Blanks are part of a field. A field that is
// null_text is null unless it is in quotes.
type csvFormat struct {
	Cells
	order  []int // the column of each field, or -1
	delim  byte
	delims uint64 // eight of them
	null   []byte

	scratch []byte // fields with quotes in them
}

func newCSV(c *Cells, options *CSVFormat) *csvFormat {
	delim := options.Delimiter[0]
	f := &csvFormat{Cells: *c, delim: delim, delims: ones * uint64(delim), null: []byte(*options.NullText)}
	for i := range f.cols {
		f.cols[i].ordinal = true
	}
	for _, name := range options.Columns {
		at, ok := f.Column(name)
		if !ok {
			at = -1
		}
		f.order = append(f.order, at)
	}
	if len(options.Columns) == 0 {
		for i := range f.cols {
			if c := &f.cols[i]; !c.skip && c.from == nil {
				f.order = append(f.order, i)
			}
		}
	}
	return f
}

func (f *csvFormat) malformed(what string, field, at int) bool {
	return f.Refuse(fmt.Sprintf("malformed CSV: %s in field %d at byte %d", what, field, at), "malformed CSV")
}

func (f *csvFormat) Read(b []byte) bool {
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	if what := disguise(b); what != "" {
		return f.Refuse("not CSV: "+what, "not CSV")
	}
	p := 0
	for field := 1; ; field++ {
		start := p
		var text []byte
		quoted := p < len(b) && b[p] == '"'
		if quoted {
			if text, p = f.quoted(b, p, field); p < 0 {
				return false
			}
		} else {
			p = f.special(b, p)
			if p < len(b) && b[p] != f.delim {
				if b[p] == '"' {
					return f.malformed("a quote", field, p)
				}
				return f.malformed("a second line", field, p)
			}
			text = b[start:p]
		}
		if field <= len(f.order) {
			if at := f.order[field-1]; at >= 0 {
				c := &f.cols[at]
				if !quoted && len(text) == len(f.null) && string(text) == string(f.null) {
					f.claim(c, null)
					c.at = field
				} else {
					f.cell(c, text, field)
				}
			}
		}
		if p == len(b) {
			if field != len(f.order) {
				cause := "wrong number of fields"
				return f.Refuse(fmt.Sprintf("%s: want %d, found %d", cause, len(f.order), field), cause)
			}
			return true
		}
		p++ // the delimiter
	}
}

// special returns the position of the first delimiter, quote or line feed at or
// after p, len(b) if there is none. Its loads may reach behind the event, into
// the next one, but only bytes of the event decide.
func (f *csvFormat) special(b []byte, p int) int {
	for p < len(b) {
		if p+8 > cap(b) {
			if ch := b[p]; ch == f.delim || ch == '"' || ch == '\n' {
				return p
			}
			p++
			continue
		}
		x := binary.LittleEndian.Uint64(b[p : p+8])
		if m := zeros(x^f.delims) | zeros(x^ones*'"') | zeros(x^ones*'\n'); m != 0 {
			p += bits.TrailingZeros64(m) >> 3
			break
		}
		p += 8
	}
	return min(p, len(b))
}

// zeros marks the zero bytes of x by their high bits. Borrows can mark others
// above a zero one but never below, so the lowest mark is right.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// quoted reads the field whose opening quote is at p, up to the delimiter or the
// end. The text lies in b or in f.scratch and is valid until the next call.
func (f *csvFormat) quoted(b []byte, p, field int) (text []byte, next int) {
	start := p + 1
	f.scratch = f.scratch[:0]
	for {
		n := bytes.IndexByte(b[start:], '"')
		if n < 0 {
			f.malformed("no closing quote", field, len(b))
			return nil, -1
		}
		end := start + n
		switch {
		case end+1 == len(b) || b[end+1] == f.delim:
			if text = b[start:end]; len(f.scratch) > 0 {
				f.scratch = append(f.scratch, text...)
				text = f.scratch
			}
			return text, end + 1
		case b[end+1] == '"':
			f.scratch = append(f.scratch, b[start:end+1]...)
			start = end + 2
		default:
			f.malformed("text behind the closing quote", field, end+1)
			return nil, -1
		}
	}
}
