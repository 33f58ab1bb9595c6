package endpoint

import (
	"strings"

	"golang.org/x/text/encoding/ianaindex"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// CSV is files of delimited fields, compressed with gzip or zstd if their names end in
// .gz or .zst.
type CSV struct {
	// Delimiter stands between the fields: one ASCII character.
	Delimiter string `yaml:"delimiter,omitempty" json:"delimiter,omitempty" default:"','"`
	// Quote stands around fields that hold delimiters, quotes or line ends: one ASCII
	// character, or none.
	Quote string `yaml:"quote,omitempty" json:"quote,omitempty" default:"'\"'"`
	// Escape stands, in quotes, before a quote that is text, and before itself: one ASCII
	// character. Default: a quote that is text is doubled.
	Escape string `yaml:"escape,omitempty" json:"escape,omitempty" example:"\\"`
	// Header says whether the first record of each file names its fields.
	Header *bool `yaml:"header,omitempty" json:"header,omitempty" default:"true"`
	// Columns are the fields in order, of files without a header. Default: the columns of
	// the schema.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty"`
	// NullText is what a field that is null holds, not in quotes; where that is nothing,
	// quotes around it count in string columns only. Default: nothing.
	NullText *string `yaml:"null_text,omitempty" json:"null_text,omitempty" default:"''"`
	// Encoding is that of the text, by its name in IANA's register: utf-8, utf-16,
	// iso-8859-1, windows-1252.
	Encoding string `yaml:"encoding,omitempty" json:"encoding,omitempty" default:"utf-8"`
	// DecimalComma: numbers have a comma where others have a point.
	DecimalComma bool `yaml:"decimal_comma,omitempty" json:"decimal_comma,omitempty"`
	// Comment begins lines that are no rows: one ASCII character. Default: there are none.
	Comment string `yaml:"comment,omitempty" json:"comment,omitempty" example:"#"`
	// TimestampFormats of texts are tried in order: rfc3339, epoch_ms, or a layout of Go's
	// time package.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
}

// noQuote is the Quote of files that have none.
const noQuote = "none"

// Rejects implements pipeline.RowFormat.
func (*CSV) Rejects() {}

// Defaults implements pipeline.Defaulter.
func (f *CSV) Defaults(at pipeline.Place) {
	pipeline.DefaultList(at, "timestamp_formats", &f.TimestampFormats, table.TimeFormats()...)
}

// Check implements pipeline.Checker.
func (f *CSV) Check(at pipeline.Place) {
	f.Rows(f.Columns).Check(at)
	used := map[string]string{f.Delimiter: "the delimiter"}
	for _, c := range []struct{ field, value string }{{"quote", f.Quote}, {"escape", f.Escape}, {"comment", f.Comment}} {
		switch v := c.value; {
		case v == "" && c.field != "quote" || v == noQuote && c.field == "quote":
		case len(v) != 1 || v[0] >= 0x80 || strings.ContainsAny(v, "\r\n\x00"):
			at.Problem(c.field, "", "%q is not one ASCII character other than line ends", v)
		case used[v] != "" && (c.field != "escape" || used[v] != "the quote"):
			at.Problem(c.field, "", "%q is %s", v, used[v])
		default:
			used[v] = "the " + c.field
		}
	}
	if f.Escape != "" && f.Quote == noQuote {
		at.Problem("escape", "", "it stands in quotes, and quote is none")
	}
	if known, err := ianaindex.IANA.Encoding(f.Encoding); (err != nil || known == nil) && !strings.EqualFold(f.Encoding, "utf8") {
		at.Problem("encoding", "a name of IANA's register of character sets: utf-8, utf-16, iso-8859-1, windows-1252", "%q is no encoding that is read here", f.Encoding)
	}
	if f.Header != nil && *f.Header && len(f.Columns) > 0 {
		at.Problem("columns", "", "it needs header: false: the header of each file names its columns")
	}
}

// Rows returns how records of these fields are read.
func (f *CSV) Rows(columns []string) *event.CSVRows {
	r := &event.CSVRows{CSVFormat: event.CSVFormat{Delimiter: f.Delimiter, Columns: columns, NullText: f.NullText, TimestampFormats: f.TimestampFormats},
		DecimalComma: f.DecimalComma}
	if f.Quote != noQuote {
		r.Quote = character(f.Quote)
	}
	if f.Escape != f.Quote {
		r.Escape = character(f.Escape)
	}
	return r
}

// Characters returns the delimiter, and what begins comments, 0 for none.
func (f *CSV) Characters() (delimiter, comment byte) {
	return character(f.Delimiter), character(f.Comment)
}

// character returns the byte of one, 0 for none.
func character(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
