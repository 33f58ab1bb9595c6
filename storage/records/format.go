// Package records cuts texts at rest, delimited fields and lines, into the records
// that they hold: compressed and encoded as they may be, whatever is wrong with some
// of them, each with the place where it begins. What a record means is not known
// here.
package records

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"

	"github.com/thalweg/thalweg"
)

// MaxBytes bounds a record: a larger one is bad. No writer of rows needs as much.
const MaxBytes = 4 << 20

// Format says what the bytes of an object are.
type Format struct {
	// Quote stands around fields that may have line ends and delimiters in them; 0:
	// each line is a record.
	Quote byte
	// Escape stands in quotes before a quote, or itself, that is text; 0: a quote that
	// is text is doubled.
	Escape byte
	// Delimiter stands between fields; 0: there are none, and lines of white space are
	// no records.
	Delimiter byte
	// Comment begins lines that are no records; 0: there are none.
	Comment byte
	// Header: the first record names the fields.
	Header bool
	// Encoding is that of the text by its name in IANA's register. Empty: UTF-8.
	Encoding string
}

// Validate reports an encoding that nothing here reads.
func (f Format) Validate() error {
	_, _, err := f.charset()
	return err
}

// charset returns the encoding, nil for UTF-8. Where each byte is one character and
// those of ASCII are themselves, records are found without decoding, by single.
func (f Format) charset() (all encoding.Encoding, single *charmap.Charmap, err error) {
	if f.Encoding == "" || strings.EqualFold(f.Encoding, "utf-8") || strings.EqualFold(f.Encoding, "utf8") {
		return nil, nil, nil
	}
	all, err = ianaindex.IANA.Encoding(f.Encoding)
	if err != nil || all == nil {
		return nil, nil, &thalweg.Error{Op: "read text", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("encoding %q", f.Encoding),
			Hint: "write a name of IANA's register of character sets: utf-8, utf-16, iso-8859-1, windows-1252"}
	}
	single, ok := all.(*charmap.Charmap)
	for b := 0; ok && b < 0x80; b++ {
		ok = single.DecodeByte(byte(b)) == rune(b)
	}
	if !ok {
		return all, nil, nil
	}
	return nil, single, nil
}

// compressions are the names of compressed objects.
var compressions = map[string]string{".gz": gzipped, ".gzip": gzipped, ".zst": zstandard, ".zstd": zstandard}

const gzipped, zstandard = "gzip", "zstd"

// Compression returns how an object is compressed by its name; "" if it is not.
func Compression(key string) string { return compressions[strings.ToLower(path.Ext(key))] }

// Extension returns how an object's name ends before what says how it is compressed.
func Extension(key string) string {
	if Compression(key) != "" {
		key = strings.TrimSuffix(key, path.Ext(key))
	}
	return strings.ToLower(path.Ext(key))
}

// Seekable reports whether an object can be read from any of its records on: the
// places of its records are then those of its bytes, and otherwise of its text.
func (f Format) Seekable(key string) bool {
	all, _, err := f.charset()
	return err == nil && all == nil && Compression(key) == ""
}
