package event

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/thalweg/thalweg/pipeline/table"
)

// What a text is that is no value of its column's type.
const (
	foundText      = "a text that is not one"
	foundFraction  = "a number with a fraction"
	foundLarge     = "a number out of range"
	foundNotFinite = "a number that is not finite"
	foundNoTime    = "a string that is not one"
	foundFarTime   = "a time outside the years 0 to 9999"
)

// cell reads a text, a CSV field or what stands in a record's key or header,
// into column c's cell. It takes what a cast step takes: decimal numbers with a
// sign or without, and with leading zeros; true, false, 1 and 0 in any case;
// timestamps in the configured formats. at is for the reject.
func (d *Cells) cell(c *column, text []byte, at int) {
	var problem string
	if d.comma && (c.typ == table.Int64 || c.typ == table.Float64) {
		text = d.pointed(text)
	}
	switch c.typ {
	case table.String:
		d.word(c, text, at)
		return
	case table.Int64:
		c.int64[d.rows], problem = textInt(text)
	case table.Float64:
		c.float[d.rows], problem = textFloat(text)
	case table.Bool:
		c.bools[d.rows], problem = textBool(text)
	case table.Timestamp:
		c.int64[d.rows], problem = d.textTime(text)
	default: // no text is a list
		problem = foundText
	}
	if problem != "" {
		d.blame(c, at, problem)
		return
	}
	d.claim(c, filled)
}

// pointed writes a point for the comma of a number, and something that is no number for
// one with a point, which may stand between thousands.
func (d *Cells) pointed(text []byte) []byte {
	d.point = append(d.point[:0], text...)
	for i, ch := range d.point {
		switch ch {
		case ',':
			d.point[i] = '.'
		case '.':
			d.point[i] = ','
		}
	}
	return d.point
}

// word takes a text as a string column's word.
func (d *Cells) word(c *column, text []byte, at int) {
	if len(text) <= 8 {
		var key uint64
		if cap(text) >= 8 { // one load, which may reach behind the text
			key = binary.LittleEndian.Uint64(text[:8]) & (1<<(8*len(text)) - 1)
		} else {
			key = loadShort(text)
		}
		if key&highs == 0 {
			d.setWord(c, c.words.addShort(key, len(text)))
			return
		}
	}
	if !utf8.Valid(text) {
		d.blame(c, at, string(notUTF8))
		return
	}
	d.setWord(c, c.words.add(text))
}

// textInt returns the int64 that a decimal number is exactly.
func textInt(s []byte) (n int64, problem string) {
	digits := s
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		digits = s[1:]
	}
	if len(digits) > 0 && len(digits) <= 18 {
		i := 0
		for i < len(digits) && isDigit(digits[i]) {
			n = n*10 + int64(digits[i]-'0')
			i++
		}
		if i == len(digits) {
			if s[0] == '-' {
				n = -n
			}
			return n, ""
		}
	}
	if !isDecimal(s) {
		return 0, notNumber(s)
	}
	return exactInt(bytes.TrimPrefix(s, []byte("+")))
}

// textFloat returns the float64 nearest to a decimal number.
func textFloat(s []byte) (f float64, problem string) {
	sign := 0
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		sign = 1
	}
	if f, exact, whole, _, next := decimal(s, sign); exact && whole > 0 && next == len(s) {
		if s[0] == '-' {
			f = -f
		}
		return f, ""
	}
	if !isDecimal(s) {
		return 0, notNumber(s)
	}
	return nearest(s)
}

// isDecimal reports whether s is [+-]?(digits[.digits?]|.digits)([eE][+-]?digits)?.
func isDecimal(s []byte) bool {
	p := 0
	sign := func() {
		if p < len(s) && (s[p] == '-' || s[p] == '+') {
			p++
		}
	}
	sign()
	whole := digits(s, p) - p
	p += whole
	if p < len(s) && s[p] == '.' {
		fraction := digits(s, p+1) - p - 1
		p += 1 + fraction
		whole += fraction
	}
	if whole == 0 {
		return false
	}
	if p < len(s) && s[p]|0x20 == 'e' {
		p++
		sign()
		q := digits(s, p)
		if q == p {
			return false
		}
		p = q
	}
	return p == len(s)
}

// notNumber says what a text is that is no decimal number.
func notNumber(s []byte) string {
	word := bytes.TrimLeft(s, "+-")
	for _, name := range []string{"nan", "inf", "infinity"} {
		if bytes.EqualFold(word, []byte(name)) {
			return foundNotFinite
		}
	}
	return foundText
}

func textBool(s []byte) (v byte, problem string) {
	switch {
	case len(s) == 1 && (s[0] == '0' || s[0] == '1'):
		return s[0] - '0', ""
	case bytes.EqualFold(s, []byte("true")):
		return 1, ""
	case bytes.EqualFold(s, []byte("false")):
		return 0, ""
	}
	return 0, foundText
}

func (d *Cells) textTime(s []byte) (us int64, problem string) {
	if us, ok := d.times.parse(s); ok {
		return us, ""
	}
	if d.times.epoch {
		if ms, problem := textInt(s); problem == "" {
			return fromMillis(ms)
		}
	}
	return 0, foundText
}

// fromMillis returns the microseconds of a count of milliseconds.
func fromMillis(ms int64) (us int64, problem string) {
	if ms < table.MinMicros/1000 || ms > table.MaxMicros/1000 {
		return 0, foundFarTime
	}
	return ms * 1000, ""
}
