package records

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// splitter finds where records end. Quotes open at the beginning of a field only, so
// that one in the middle of a text misleads it by no more than its line. It takes
// every record that a strict reader takes for that one; others end with the line in
// which they cease to be one.
type splitter struct {
	Format
	quotes uint64 // eight of Quote
	clear  int    // bytes from the beginning of the record on without a quote, as far as is known

	// The state of the record that is looked at.
	at      int  // what has been looked at
	quoted  bool // at is in quotes
	escaped bool // by what is before at
	isLine  bool // it ends with its line: a comment, or there are no quotes
	cut     bool // its beginning is not there any more
	lines   int64
}

func newSplitter(f Format) splitter { return splitter{Format: f, quotes: ones * uint64(f.Quote)} }

// begin goes behind the record that was found, of so many bytes.
func (s *splitter) begin(n int) {
	s.clear = max(0, s.clear-n)
	s.at, s.quoted, s.escaped, s.isLine, s.cut, s.lines = 0, false, false, false, false, 0
}

// drop notes that n bytes of the record are not there any more.
func (s *splitter) drop(n int) { s.at, s.cut, s.clear = s.at-n, true, max(0, s.clear-n) }

// plain returns what b has before the next quote; it begins with a record.
func (s *splitter) plain(b []byte) []byte {
	if s.Quote == 0 {
		return b
	}
	if s.clear == 0 {
		if s.clear = bytes.IndexByte(b, s.Quote); s.clear < 0 {
			s.clear = len(b)
		}
	}
	return b[:min(s.clear, len(b))]
}

// end returns the length of the record that b begins with, its line end included; 0
// where more of it may come. last: b is all there is.
func (s *splitter) end(b []byte, last bool) int {
	if s.at == 0 && !s.cut {
		s.isLine = s.Quote == 0 || len(b) > 0 && s.isComment(b)
	}
	if s.at == 0 && !s.cut && !s.isLine { // most records have no quotes
		if n := bytes.IndexByte(s.plain(b), '\n'); n >= 0 {
			s.lines = 1
			return n + 1
		}
	}
	if s.isLine {
		if n := bytes.IndexByte(b[s.at:], '\n'); n >= 0 {
			s.lines = 1
			return s.at + n + 1
		}
		s.at = len(b)
		return s.unterminated(b, last)
	}
	for s.at < len(b) {
		if s.quoted {
			if !s.inQuotes(b, last) {
				break
			}
			continue
		}
		p := s.special(b, s.at)
		if p == len(b) {
			s.at = p
			break
		}
		s.at = p + 1
		if b[p] == '\n' {
			s.lines++
			return p + 1
		}
		s.quoted = p == 0 && !s.cut || p > 0 && b[p-1] == s.Delimiter
	}
	return s.unterminated(b, last)
}

// unterminated returns the length of a record without a line end, 0 where more may come.
func (s *splitter) unterminated(b []byte, last bool) int {
	if !last {
		return 0
	}
	s.lines++
	return len(b)
}

func (s *splitter) isComment(b []byte) bool { return s.Comment != 0 && b[0] == s.Comment }

// inQuotes goes behind the quote that ends the field, or to the end. It reports false
// where it cannot tell without more.
func (s *splitter) inQuotes(b []byte, last bool) bool {
	n := bytes.IndexByte(b[s.at:], s.Quote)
	p := s.at + n
	switch {
	case n < 0:
		p = len(b)
	case s.Escape == 0 && p+1 == len(b) && !last:
		n = -1 // it may be doubled
	}
	if s.Escape != 0 {
		q := p
		for q > s.at && b[q-1] == s.Escape {
			q--
		}
		s.escaped = (p-q)%2 == 1 != (q == s.at && s.escaped)
	}
	s.lines += int64(bytes.Count(b[s.at:p], newline))
	if s.at = p; n < 0 {
		return p == len(b)
	}
	s.at++
	switch {
	case s.escaped:
		s.escaped = false
	case s.Escape == 0 && s.at < len(b) && b[s.at] == s.Quote:
		s.at++
	default:
		s.quoted = false
	}
	return true
}

var newline = []byte{'\n'}

const (
	ones  uint64 = 0x0101010101010101
	highs uint64 = 0x8080808080808080
)

// zeros marks the zero bytes of x by their high bits; the lowest mark is right.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// special returns the position of the first quote or line feed from p on.
func (s *splitter) special(b []byte, p int) int {
	for ; p+8 <= len(b); p += 8 {
		x := binary.LittleEndian.Uint64(b[p:])
		if m := zeros(x^s.quotes) | zeros(x^ones*'\n'); m != 0 {
			return p + bits.TrailingZeros64(m)>>3
		}
	}
	for ; p < len(b) && b[p] != s.Quote && b[p] != '\n'; p++ {
	}
	return p
}
