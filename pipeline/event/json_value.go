package event

import (
	"math"
	"strconv"
	"unsafe"

	"github.com/thalweg/thalweg/pipeline/table"
)

// value reads the value at p into column c's cell. A value of another type is
// held against the cell, not yet against the event: the syntax of the rest
// comes first, and a later field of the same name would replace it.
func (d *jsonFormat) value(c *column, b []byte, p int) int {
	if p >= len(b) {
		return d.fail(b, p, "a value")
	}
	switch ch := b[p]; {
	case ch == '"':
		switch c.typ {
		case table.String:
			return d.stringValue(c, b, p)
		case table.Timestamp:
			return d.timeValue(c, b, p)
		}
		return d.otherValue(c, b, p, "string")
	case isDigit(ch) || ch == '-':
		switch c.typ {
		case table.Int64:
			return d.intValue(c, b, p)
		case table.Float64:
			return d.floatValue(c, b, p)
		case table.Timestamp:
			if d.times.epoch {
				return d.epochValue(c, b, p)
			}
		}
		return d.otherValue(c, b, p, "number")
	case ch == 't' || ch == 'f':
		if c.typ != table.Bool {
			return d.otherValue(c, b, p, "bool")
		}
		next := d.scalar(b, p)
		if next >= 0 {
			d.claim(c, filled)
			c.bools[d.rows] = 0
			if ch == 't' {
				c.bools[d.rows] = 1
			}
		}
		return next
	case ch == 'n':
		next := d.scalar(b, p)
		if next >= 0 {
			d.claim(c, null)
			c.at = p
		}
		return next
	case ch == '{':
		return d.otherValue(c, b, p, "object")
	case ch == '[':
		return d.otherValue(c, b, p, "array")
	}
	return d.fail(b, p, "a value")
}

// otherValue passes over a value that is not of the column's type.
func (d *jsonFormat) otherValue(c *column, b []byte, p int, found string) int {
	next := d.pass(b, p)
	if next >= 0 {
		d.blame(c, p, found)
	}
	return next
}

func (d *jsonFormat) stringValue(c *column, b []byte, p int) int {
	if key, n, ok := shortText(b, p); ok {
		c.index[d.rows] = c.words.addShort(key, n)
		d.claim(c, filled)
		return p + n + 2
	}
	s, flaw, next := d.text(b, p)
	if next < 0 {
		return -1
	}
	if flaw != sound {
		d.blame(c, p, string(flaw))
		return next
	}
	c.index[d.rows] = c.words.add(s)
	d.claim(c, filled)
	return next
}

func (d *jsonFormat) timeValue(c *column, b []byte, p int) int {
	s, flaw, next := d.text(b, p)
	if next < 0 {
		return -1
	}
	us, ok := int64(0), false
	if flaw == sound {
		us, ok = d.times.parse(s)
	}
	if !ok {
		d.blame(c, p, "a string that is not one")
		return next
	}
	c.int64[d.rows] = us
	d.claim(c, filled)
	return next
}

func (d *jsonFormat) epochValue(c *column, b []byte, p int) int {
	ms, next, ok := d.whole(c, b, p)
	if next < 0 || !ok {
		return next
	}
	if ms < table.MinMicros/1000 || ms > table.MaxMicros/1000 {
		d.blame(c, p, foundFarTime)
		return next
	}
	c.int64[d.rows] = ms * 1000
	d.claim(c, filled)
	return next
}

func (d *jsonFormat) intValue(c *column, b []byte, p int) int {
	n, next, ok := d.whole(c, b, p)
	if ok {
		c.int64[d.rows] = n
		d.claim(c, filled)
	}
	return next
}

// whole reads a number that has to be whole. If it is none, or out of range,
// the cell is blamed and ok is false; next is -1 only for a syntax error.
func (d *jsonFormat) whole(c *column, b []byte, p int) (n int64, next int, ok bool) {
	q := p
	if b[q] == '-' {
		q++
	}
	first := q
	for q < len(b) && isDigit(b[q]) {
		n = n*10 + int64(b[q]-'0')
		q++
	}
	count := q - first
	plain := q >= len(b) || b[q] != '.' && b[q]|0x20 != 'e'
	if plain && count > 0 && count <= 18 && (b[first] != '0' || count == 1) {
		if first > p {
			n = -n
		}
		return n, q, true
	}
	if next = d.number(b, p); next < 0 {
		return 0, -1, false
	}
	n, problem := exactInt(b[p:next])
	if problem != "" {
		d.blame(c, p, problem)
		return 0, next, false
	}
	return n, next, true
}

// exactInt returns the value of a JSON number that is whole and fits, however
// it is spelled; else it says what is wrong. It never rounds.
func exactInt(s []byte) (n int64, problem string) {
	negative := s[0] == '-'
	if negative {
		s = s[1:]
	}
	// The number is mantissa * 10^scale, the mantissa without zeros at its ends.
	mantissa := make([]byte, 0, 24)
	scale, exponent, zeros, point := 0, 0, 0, false
	for i, ch := range s {
		if ch|0x20 == 'e' {
			var err error
			if exponent, err = strconv.Atoi(string(s[i+1:])); err != nil {
				exponent = math.MaxInt32 // out of the range of int
				if s[i+1] == '-' {
					exponent = math.MinInt32
				}
			}
			break
		}
		switch {
		case ch == '.':
			point = true
			continue
		case ch == '0':
			zeros++
		default:
			if len(mantissa) > 0 {
				for range zeros {
					mantissa = append(mantissa, '0')
				}
			}
			zeros = 0
			mantissa = append(mantissa, ch)
		}
		if point {
			scale--
		}
	}
	if len(mantissa) == 0 {
		return 0, ""
	}
	scale += zeros + min(max(exponent, math.MinInt32), math.MaxInt32)
	switch {
	case scale < 0:
		return 0, foundFraction
	case len(mantissa)+scale > 19:
		return 0, foundLarge
	}
	var u uint64
	for _, ch := range mantissa {
		u = u*10 + uint64(ch-'0')
	}
	for range scale {
		u *= 10
	}
	switch {
	case negative && u <= -math.MinInt64:
		return -int64(u), ""
	case !negative && u <= math.MaxInt64:
		return int64(u), ""
	}
	return 0, foundLarge
}

// powers are the powers of ten that float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// floatValue reads a number as the nearest float64. A mantissa below 2^53 and a
// power of ten up to 22 are both exact, so that one division rounds right
// (Clinger, How to read floating point numbers accurately, 1990); strconv does
// the rest.
func (d *jsonFormat) floatValue(c *column, b []byte, p int) int {
	q := p
	if b[q] == '-' {
		q++
	}
	var mantissa uint64
	first, fraction := q, 0
	for q < len(b) && isDigit(b[q]) {
		mantissa = mantissa*10 + uint64(b[q]-'0')
		q++
	}
	count := q - first
	wellFormed := count > 0 && (b[first] != '0' || count == 1)
	if q < len(b) && b[q] == '.' {
		dot := q
		for q++; q < len(b) && isDigit(b[q]); q++ {
			mantissa = mantissa*10 + uint64(b[q]-'0')
		}
		fraction = q - dot - 1
		count += fraction
		wellFormed = wellFormed && fraction > 0
	}
	if wellFormed && count <= 18 && mantissa < 1<<53 && (q >= len(b) || b[q]|0x20 != 'e') {
		f := float64(mantissa) / powers[fraction]
		if first > p {
			f = -f
		}
		c.float[d.rows] = f
		d.claim(c, filled)
		return q
	}
	next := d.number(b, p)
	if next < 0 {
		return -1
	}
	s := b[p:next]
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), 64)
	if err != nil {
		d.blame(c, p, foundLarge)
		return next
	}
	c.float[d.rows] = f
	d.claim(c, filled)
	return next
}
