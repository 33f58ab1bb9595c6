package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// defect is what is wrong with a string whose syntax is right.
type defect string

const (
	sound     defect = ""
	notUTF8   defect = "a string that is not UTF-8"
	loneHalf  defect = "a string with half a surrogate pair"
	wantClose        = "the end of the string"
)

// text reads the string whose opening quote is at p. The result lies in b or
// in d.scratch and is valid until the next call. A defect is reported only
// where the syntax is right (next >= 0).
func (d *jsonFormat) text(b []byte, p int) (s []byte, flaw defect, next int) {
	start := p + 1
	ascii := true
	for p = special(b, start); p < len(b); p = special(b, p) {
		switch ch := b[p]; {
		case ch == '"':
			s = b[start:p]
			if !ascii && !utf8.Valid(s) {
				flaw = notUTF8
			}
			return s, flaw, p + 1
		case ch == '\\':
			return d.unescape(b, start, p)
		case ch < ' ':
			return nil, sound, d.fail(b, p, "no control character in a string")
		}
		ascii = false
		for p < len(b) && b[p] >= utf8.RuneSelf {
			p++
		}
	}
	return nil, sound, d.fail(b, p, wantClose)
}

// shortText is text for what most category values are: up to 7 plain ASCII
// characters, found by one load. The word comes as dictionary.addShort takes it.
func shortText(b []byte, p int) (key uint64, n int, ok bool) {
	if p+9 > cap(b) { // the load may reach into the next event, the word may not
		return 0, 0, false
	}
	x := binary.LittleEndian.Uint64(b[p+1 : p+9])
	m := specials(x)
	if m == 0 {
		return 0, 0, false
	}
	n = bits.TrailingZeros64(m) >> 3
	return x & (1<<(8*n) - 1), n, p+1+n < len(b) && b[p+1+n] == '"'
}

// unescape reads the string that begins at start and has its first backslash at
// p into d.scratch.
func (d *jsonFormat) unescape(b []byte, start, p int) (s []byte, flaw defect, next int) {
	out := d.scratch[:0]
	out = append(out, b[start:p]...)
	for p < len(b) {
		switch ch := b[p]; {
		case ch == '"':
			d.scratch = out
			if flaw == sound && !utf8.Valid(out) {
				flaw = notUTF8
			}
			return out, flaw, p + 1
		case ch == '\\':
			var r rune
			if r, p = d.escape(b, p); p < 0 {
				return nil, sound, -1
			}
			if utf16.IsSurrogate(r) {
				flaw = loneHalf
			}
			out = utf8.AppendRune(out, r)
		case ch < ' ':
			return nil, sound, d.fail(b, p, "no control character in a string")
		case ch >= utf8.RuneSelf:
			out = append(out, ch)
			p++
		default:
			q := special(b, p)
			out = append(out, b[p:q]...)
			p = q
		}
	}
	return nil, sound, d.fail(b, p, wantClose)
}

// escape reads the escape whose backslash is at p, a surrogate pair as one. Half
// of a pair is returned as it is.
func (d *jsonFormat) escape(b []byte, p int) (rune, int) {
	if p+1 >= len(b) {
		return 0, d.fail(b, p+1, wantClose)
	}
	switch b[p+1] {
	case '"', '\\', '/':
		return rune(b[p+1]), p + 2
	case 'b':
		return '\b', p + 2
	case 'f':
		return '\f', p + 2
	case 'n':
		return '\n', p + 2
	case 'r':
		return '\r', p + 2
	case 't':
		return '\t', p + 2
	case 'u':
		r, next := d.hex4(b, p+2)
		if next < 0 || !utf16.IsSurrogate(r) {
			return r, next
		}
		if next+1 < len(b) && b[next] == '\\' && b[next+1] == 'u' {
			low, after := d.hex4(b, next+2)
			if after < 0 {
				return 0, -1
			}
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, after
			}
		}
		return r, next
	}
	return 0, d.fail(b, p+1, "an escape")
}

// hex4 reads four hexadecimal digits.
func (d *jsonFormat) hex4(b []byte, p int) (rune, int) {
	var r rune
	for end := p + 4; p < end; p++ {
		if p >= len(b) {
			return 0, d.fail(b, p, "a hexadecimal digit")
		}
		ch := b[p]
		switch {
		case isDigit(ch):
			ch -= '0'
		case 'a' <= ch && ch <= 'f':
			ch -= 'a' - 10
		case 'A' <= ch && ch <= 'F':
			ch -= 'A' - 10
		default:
			return 0, d.fail(b, p, "a hexadecimal digit")
		}
		r = r<<4 | rune(ch)
	}
	return r, p
}
