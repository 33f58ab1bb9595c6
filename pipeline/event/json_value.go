package event

import (
	"bytes"
	"math"
	"slices"
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
		if c.typ == table.String || c.typ == table.Timestamp {
			return d.stringValue(c, b, p)
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
				return d.intValue(c, b, p)
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
		if c.list != nil {
			return d.listValue(c, b, p)
		}
		return d.otherValue(c, b, p, "array")
	}
	return d.fail(b, p, "a value")
}

// listValue reads an array as a column's list.
func (d *jsonFormat) listValue(c *column, b []byte, p int) int {
	element := d.openList(c)
	p = space(b, p+1)
	for more := p >= len(b) || b[p] != ']'; more; {
		if p = d.value(element, b, p); p < 0 {
			return -1
		}
		d.push(c)
		p = space(b, p)
		if p >= len(b) || b[p] != ',' && b[p] != ']' {
			return d.fail(b, p, "a comma or a closing bracket")
		}
		if more = b[p] == ','; more {
			p = space(b, p+1)
		}
	}
	d.closeList(c)
	return p + 1
}

// otherValue passes over a value that is not of the column's type.
func (d *jsonFormat) otherValue(c *column, b []byte, p int, found string) int {
	next := d.pass(b, p, d.depth)
	if next >= 0 {
		d.blame(c, p, found)
	}
	return next
}

// stringValue reads a string as a column's word or time.
func (d *jsonFormat) stringValue(c *column, b []byte, p int) int {
	if c.typ == table.String {
		if key, n, ok := shortText(b, p); ok {
			d.setWord(c, c.words.addShort(key, n))
			return p + n + 2
		}
	}
	s, flaw, next := d.text(b, p)
	if next < 0 {
		return -1
	}
	if c.typ == table.String {
		if flaw != sound {
			d.blame(c, p, string(flaw))
		} else {
			d.setWord(c, c.words.add(s))
		}
	} else if us, ok := d.times.parse(s); ok && flaw == sound {
		d.setInt(c, us)
	} else {
		d.blame(c, p, foundNoTime)
	}
	return next
}

// intValue reads a number that has to be whole as one or as a time.
func (d *jsonFormat) intValue(c *column, b []byte, p int) int {
	n, next, problem := d.whole(b, p)
	if next < 0 {
		return -1
	}
	if c.typ == table.Timestamp && problem == "" {
		n, problem = fromMillis(n)
	}
	if problem != "" {
		d.blame(c, p, problem)
	} else {
		d.setInt(c, n)
	}
	return next
}

// whole reads a number that has to be whole, or says what else it is.
func (d *jsonFormat) whole(b []byte, p int) (n int64, next int, problem string) {
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
		return n, q, ""
	}
	if next = d.number(b, p); next < 0 {
		return 0, -1, ""
	}
	n, problem = exactInt(b[p:next])
	return n, next, problem
}

// exactInt returns the value of a decimal number that is whole and fits, however
// it is spelled; else it says what is wrong. It never rounds.
func exactInt(s []byte) (n int64, problem string) {
	text, negative := bytes.CutPrefix(s, []byte("-"))
	exponent := 0
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		exponent, _ = strconv.Atoi(string(text[e+1:])) // out of range: the nearest that is not
		exponent = min(max(exponent, math.MinInt32), math.MaxInt32)
		text = text[:e]
	}
	// The number is mantissa * 10^scale, the mantissa without zeros at its ends.
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	mantissa := append(append(make([]byte, 0, 24), whole...), fraction...)
	digits := len(mantissa)
	mantissa = bytes.TrimRight(mantissa, "0")
	scale := exponent - len(fraction) + digits - len(mantissa)
	mantissa = bytes.TrimLeft(mantissa, "0")
	switch {
	case len(mantissa) == 0:
		return 0, ""
	case scale < 0:
		return 0, foundFraction
	case len(mantissa)+scale > 19:
		return 0, foundLarge
	}
	mantissa = append(mantissa, "000000000000000000"[:scale]...)
	if negative {
		mantissa = slices.Insert(mantissa, 0, '-')
	}
	n, err := strconv.ParseInt(string(mantissa), 10, 64)
	if err != nil {
		return 0, foundLarge
	}
	return n, ""
}

// powers are the powers of ten that float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// decimal reads digits, maybe with a point between or behind them; fraction is -1
// without one. exact reports whether f is their value: a mantissa below 2^53 and a
// power of ten up to 22 are both exact, so that one division rounds right
// (Clinger, How to read floating point numbers accurately, 1990).
func decimal(b []byte, p int) (f float64, exact bool, whole, fraction, next int) {
	var mantissa uint64
	for next = p; next < len(b) && isDigit(b[next]); next++ {
		mantissa = mantissa*10 + uint64(b[next]-'0')
	}
	whole, fraction = next-p, -1
	count := whole
	if next < len(b) && b[next] == '.' {
		for next++; next < len(b) && isDigit(b[next]); next++ {
			mantissa = mantissa*10 + uint64(b[next]-'0')
		}
		count = next - p - 1
		fraction = count - whole
	}
	if count > 18 || mantissa >= 1<<53 {
		return 0, false, whole, fraction, next
	}
	return float64(mantissa) / powers[max(fraction, 0)], true, whole, fraction, next
}

// floatValue reads a number as the nearest float64, with strconv where decimal is
// not exact.
func (d *jsonFormat) floatValue(c *column, b []byte, p int) int {
	q := p
	if b[q] == '-' {
		q++
	}
	f, exact, whole, fraction, next := decimal(b, q)
	if exact && fraction != 0 && (whole == 1 || whole > 1 && b[q] != '0') && (next == len(b) || b[next]|0x20 != 'e') {
		if q > p {
			f = -f
		}
		d.setFloat(c, f)
		return next
	}
	if next = d.number(b, p); next < 0 {
		return -1
	}
	f, problem := nearest(b[p:next])
	if problem != "" {
		d.blame(c, p, problem)
	} else {
		d.setFloat(c, f)
	}
	return next
}

// nearest returns the float64 nearest to a number.
func nearest(s []byte) (f float64, problem string) {
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), 64)
	if err != nil {
		return 0, foundLarge
	}
	return f, ""
}
