package event

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

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
	// NullText is what a field that is null holds, not in quotes; where that is nothing,
	// quotes around it count in string columns only. Default: nothing.
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
	firsts := make(map[string]int)
	for i, name := range f.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		first, again := firsts[name]
		switch {
		case name == "":
			at.Problem(field, "", "the field is empty")
		case again:
			at.Problem(field, fmt.Sprintf("columns[%d] has it too", first), "a second column of the name %s", name)
		default:
			firsts[name] = i
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
func (f *CSVFormat) Open(c *Cells) (Reader, error) {
	return newCSV(c, &CSVRows{CSVFormat: *f, Quote: '"'}), nil
}

// CSVRows is CSV as files have it, which may differ from RFC 4180.
type CSVRows struct {
	CSVFormat `yaml:",inline"`
	// Quote stands around fields; 0: no field is in quotes. Escape stands before a
	// quote in quotes that is text, and before itself; 0: such a quote is doubled.
	Quote, Escape byte
	// DecimalComma: numbers have a comma where others have a point.
	DecimalComma bool
}

// Open implements Format.
func (f *CSVRows) Open(c *Cells) (Reader, error) {
	r := newCSV(c, f)
	r.file = true
	return r, nil
}

// Split calls fn with each field of a record; quoted are those in quotes. The text is
// fn's for the call. It returns what is wrong with the record.
func (f *CSVRows) Split(record []byte, fn func(text []byte, quoted bool)) (problem string) {
	return newCSV(new(Cells), f).split(record, fn)
}

func (f *csvFormat) split(record []byte, fn func(text []byte, quoted bool)) (problem string) {
	record = trimLineEnd(record)
	for p, field := 0, 1; ; p, field = p+1, field+1 {
		var text []byte
		var quoted bool
		if text, quoted, p = f.field(record, p, field); p < 0 {
			return f.reason
		}
		if fn(text, quoted); p == len(record) {
			return ""
		}
	}
}

func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}

// csvFormat reads one record of RFC 4180 an event: fields between delimiters, in
// quotes if need be, with or without a line end behind them. It takes what
// encoding/csv takes as one record, and the same fields but for line ends in
// quotes, which stay as they are. Blanks are part of a field. A field that is
// null_text is null unless it is in quotes; in those of a column that is no string,
// nothing is null too, as writers that quote all fields have it.
type csvFormat struct {
	Cells
	order  []int // the column of each field, or -1
	delim  byte
	quote  byte // that of unquoted is delim, so that nothing is one
	escape byte
	delims uint64 // eight of them
	quotes uint64
	null   []byte
	plain  bool // the run has no quote
	file   bool // a zero or another odd byte before its row is text, not the framing of an event

	scratch []byte // fields with quotes in them
}

func newCSV(c *Cells, options *CSVRows) *csvFormat {
	delim := options.Delimiter[0]
	quote := cmp.Or(options.Quote, delim)
	f := &csvFormat{Cells: *c, delim: delim, quote: quote, escape: cmp.Or(options.Escape, quote),
		delims: ones * uint64(delim), quotes: ones * uint64(quote), null: []byte(*options.NullText)}
	f.comma = options.DecimalComma
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
			switch c := &f.cols[i]; {
			case c.from != nil:
			case c.dropped:
				f.order = append(f.order, -1)
			case !c.skip:
				f.order = append(f.order, i)
			}
		}
	}
	return f
}

// The causes of rejects that are no records, or that have other fields than others.
const (
	MalformedCSV  = "malformed CSV"
	MalformedJSON = "malformed JSON"
	WrongFields   = "wrong number of fields"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// NotUTF8 ends the cause of a reject whose text is in another encoding.
const NotUTF8 = string(notUTF8)

func (f *csvFormat) malformed(what string, field, at int) bool {
	return f.Refuse(fmt.Sprintf("malformed CSV: %s in field %d at byte %d", what, field, at), MalformedCSV)
}

// Prepare implements Reader. Where a run of a file's rows has no quote, each is a line.
func (f *csvFormat) Prepare(_ context.Context, e *Events) error {
	f.plain = f.file && (f.quote == f.delim || bytes.IndexByte(e.Values, f.quote) < 0)
	return nil
}

func (f *csvFormat) Read(b []byte) bool {
	b = trimLineEnd(b)
	if !f.file {
		if what := f.disguise(b); what != "" {
			return f.Refuse("not CSV: "+what, "not CSV")
		}
	} else if len(b) > 0 && b[0] == byteOrderMark[0] && bytes.HasPrefix(b, byteOrderMark) {
		return f.Refuse("not CSV: it begins with a byte order mark: were files put together?", "not CSV")
	}
	p := 0
	for field := 1; ; field++ {
		var text []byte
		var quoted bool
		if f.plain {
			next := f.delimiter(b, p)
			text, p = b[p:next], next
		} else if text, quoted, p = f.field(b, p, field); p < 0 {
			return false
		}
		if field <= len(f.order) {
			if at := f.order[field-1]; at >= 0 {
				c := &f.cols[at]
				if len(text) == len(f.null) && string(text) == string(f.null) && (!quoted || len(text) == 0 && c.typ != table.String) {
					f.claim(c, null)
					c.at = field
				} else {
					f.cell(c, text, field)
				}
			}
		}
		if p == len(b) {
			if field != len(f.order) {
				return f.Refuse(fmt.Sprintf("%s: want %d, found %d", WrongFields, len(f.order), field), WrongFields)
			}
			return true
		}
		p++ // the delimiter
	}
}

// field reads the field at p, up to the delimiter or the end. The text is valid until
// the next call.
func (f *csvFormat) field(b []byte, p, field int) (text []byte, quoted bool, next int) {
	if p < len(b) && b[p] == f.quote && f.quote != f.delim {
		text, next = f.quoted(b, p, field)
		return text, true, next
	}
	next = f.special(b, p)
	if next < len(b) && b[next] != f.delim {
		if b[next] == f.quote {
			f.malformed("a quote", field, next)
		} else {
			f.malformed("a second line", field, next)
		}
		return nil, false, -1
	}
	return b[p:next], false, next
}

// special returns the position of the first delimiter, quote or line feed at or
// after p, len(b) if there is none. Its loads may reach behind the event, into
// the next one, but only bytes of the event decide.
func (f *csvFormat) special(b []byte, p int) int {
	for p < len(b) {
		if p+8 > cap(b) {
			if ch := b[p]; ch == f.delim || ch == f.quote || ch == '\n' {
				return p
			}
			p++
			continue
		}
		x := binary.LittleEndian.Uint64(b[p : p+8])
		if m := zeros(x^f.delims) | zeros(x^f.quotes) | zeros(x^ones*'\n'); m != 0 {
			p += bits.TrailingZeros64(m) >> 3
			break
		}
		p += 8
	}
	return min(p, len(b))
}

// delimiter returns the position of the first delimiter at or after p, len(b) if there is
// none. Its loads are those of special.
func (f *csvFormat) delimiter(b []byte, p int) int {
	for ; p+8 <= cap(b); p += 8 {
		if m := zeros(binary.LittleEndian.Uint64(b[p:p+8]) ^ f.delims); m != 0 {
			return min(p+bits.TrailingZeros64(m)>>3, len(b))
		}
		if p+8 >= len(b) {
			return len(b)
		}
	}
	for p < len(b) && b[p] != f.delim {
		p++
	}
	return p
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
		n := bytes.IndexByte(b[start:], f.quote)
		end := start + n
		if n < 0 {
			end = len(b)
		}
		if f.escape != f.quote {
			if e := bytes.IndexByte(b[start:end], f.escape); e >= 0 {
				if e += start; e+1 == len(b) || b[e+1] != f.quote && b[e+1] != f.escape {
					f.malformed("an escape of something else than a quote", field, e)
					return nil, -1
				}
				f.scratch = append(f.scratch, b[start:e]...)
				f.scratch = append(f.scratch, b[e+1])
				start = e + 2
				continue
			}
		}
		switch {
		case n < 0:
			f.malformed("no closing quote", field, len(b))
			return nil, -1
		case end+1 == len(b) || b[end+1] == f.delim:
			if text = b[start:end]; len(f.scratch) > 0 {
				f.scratch = append(f.scratch, text...)
				text = f.scratch
			}
			return text, end + 1
		case b[end+1] == f.quote && f.escape == f.quote:
			f.scratch = append(f.scratch, b[start:end+1]...)
			start = end + 2
		default:
			f.malformed("text behind the closing quote", field, end+1)
			return nil, -1
		}
	}
}
