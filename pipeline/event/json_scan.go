package event

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The scanning functions take an event b and the position p of what they read
// and return the position after it, or -1 after d.fail.

func (d *jsonFormat) fail(b []byte, p int, want string) int {
	found := "the end"
	if p < len(b) {
		if found = "another character"; !d.cfg.Private {
			found = fmt.Sprintf("%q", b[p])
		}
	}
	d.Refuse(fmt.Sprintf("malformed JSON: want %s, found %s at byte %d", want, found, min(p, len(b))), MalformedJSON)
	return -1
}

// space skips white space, of which most events have none.
func space(b []byte, p int) int {
	if p < len(b) && b[p] <= ' ' {
		return spaces(b, p)
	}
	return p
}

func spaces(b []byte, p int) int {
	for p < len(b) && (b[p] == ' ' || b[p] == '\n' || b[p] == '\t' || b[p] == '\r') {
		p++
	}
	return p
}

// object reads a whole event into the cells and reports whether it is one JSON
// object.
func (d *jsonFormat) object(b []byte) bool {
	p := space(b, 0)
	if p == len(b) || b[p] != '{' {
		return d.fail(b, p, "an object") >= 0
	}
	if p = d.fields(d.root, b, p); p < 0 {
		return false
	}
	p = space(b, p)
	return p == len(b) || d.fail(b, p, "nothing after the object") >= 0
}

// fields reads the object at p, whose fields are those of a level.
func (d *jsonFormat) fields(l *jsonLevel, b []byte, p int) int {
	p = space(b, p+1)
	if p < len(b) && b[p] == '}' {
		return p + 1
	}
	for last := 0; ; {
		guess := l.follow[last]
		f := &l.fields[guess]
		if q := p + len(f.token); f.token != "" && q <= len(b) && string(b[p:q]) == f.token {
			p, last = space(b, q), guess+1
		} else {
			var i int
			if i, p = d.key(l, b, p); p < 0 {
				return -1
			}
			if i < 0 {
				f = nil
			} else {
				f = &l.fields[i]
				l.follow[last] = i
				last = i + 1
			}
		}
		switch {
		case f == nil:
			p = d.pass(b, p, d.depth)
		case f.level != nil && (f.column == nil || p < len(b) && b[p] == '{'):
			p = d.within(f, b, p)
		case f.column.skip:
			p = d.pass(b, p, d.depth)
		default:
			c := f.column
			again := c.stamp == d.stamp && c.state != astray
			if again && c.unread {
				p = d.otherValue(c, b, p, "a second value")
			} else {
				if again && d.twice == nil {
					d.twice, d.again = c, p
				}
				p = d.value(c, b, p)
			}
		}
		if p < 0 {
			return -1
		}
		p = space(b, p)
		if p < len(b) && b[p] == '}' {
			return p + 1
		}
		if p >= len(b) || b[p] != ',' {
			return d.fail(b, p, "a comma or the end of the object")
		}
		p = space(b, p+1)
	}
}

// key reads a field's name, colon and the space behind it, and returns its
// position in the level, or -1.
func (d *jsonFormat) key(l *jsonLevel, b []byte, p int) (field, next int) {
	name, next := d.name(b, p)
	if next < 0 {
		return 0, -1
	}
	field, known := l.byName[string(name)]
	if !known {
		field = -1
		if d.unknown < 0 {
			d.unknown = p
		}
	}
	return field, next
}

// name reads a field's name, colon and the space behind it.
func (d *jsonFormat) name(b []byte, p int) (name []byte, next int) {
	if p >= len(b) || b[p] != '"' {
		return nil, d.fail(b, p, "a field name in quotes")
	}
	if name, _, next = d.text(b, p); next < 0 {
		return nil, -1
	}
	next = space(b, next)
	if next >= len(b) || b[next] != ':' {
		return nil, d.fail(b, next, "a colon")
	}
	return name, space(b, next+1)
}

// pass skips a value of any kind, checking its syntax. depth is that of what
// holds the value.
func (d *jsonFormat) pass(b []byte, p, depth int) int {
	if p >= len(b) || b[p] != '{' && b[p] != '[' {
		return d.scalar(b, p)
	}
	if depth == maxDepth {
		return d.tooDeep(p)
	}
	closer := b[p] + 2 // '{' to '}', '[' to ']'
	if p = space(b, p+1); p < len(b) && b[p] == closer {
		return p + 1
	}
	for {
		if closer == '}' {
			if _, p = d.name(b, p); p < 0 {
				return -1
			}
		}
		if p = d.pass(b, p, depth+1); p < 0 {
			return -1
		}
		p = space(b, p)
		if p < len(b) && b[p] == closer {
			return p + 1
		}
		if p >= len(b) || b[p] != ',' {
			return d.fail(b, p, "a comma or a closing bracket")
		}
		p = space(b, p+1)
	}
}

// scalar skips a string, of any bytes, a number, true, false or null.
func (d *jsonFormat) scalar(b []byte, p int) int {
	if p >= len(b) {
		return d.fail(b, p, "a value")
	}
	switch b[p] {
	case '"':
		_, _, p = d.text(b, p)
		return p
	case 't':
		return d.literal(b, p, "true")
	case 'f':
		return d.literal(b, p, "false")
	case 'n':
		return d.literal(b, p, "null")
	}
	if b[p] != '-' && !isDigit(b[p]) {
		return d.fail(b, p, "a value")
	}
	return d.number(b, p)
}

func (d *jsonFormat) literal(b []byte, p int, word string) int {
	if q := p + len(word); q <= len(b) && string(b[p:q]) == word {
		return q
	}
	return d.fail(b, p, word)
}

func isDigit(ch byte) bool { return ch-'0' <= 9 }

// number skips a number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (d *jsonFormat) number(b []byte, p int) int {
	if p < len(b) && b[p] == '-' {
		p++
	}
	switch {
	case p < len(b) && b[p] == '0':
		p++
	case p < len(b) && isDigit(b[p]):
		p = digits(b, p)
	default:
		return d.fail(b, p, "a digit")
	}
	if p < len(b) && b[p] == '.' {
		if p++; p >= len(b) || !isDigit(b[p]) {
			return d.fail(b, p, "a digit")
		}
		p = digits(b, p)
	}
	if p < len(b) && (b[p] == 'e' || b[p] == 'E') {
		if p++; p < len(b) && (b[p] == '+' || b[p] == '-') {
			p++
		}
		if p >= len(b) || !isDigit(b[p]) {
			return d.fail(b, p, "a digit")
		}
		p = digits(b, p)
	}
	return p
}

func digits(b []byte, p int) int {
	for p < len(b) && isDigit(b[p]) {
		p++
	}
	return p
}

// special returns the position of the first byte at or after p that ends a run
// of plain characters in a string: a quote, a backslash, a control character or
// the first byte of a character that is not ASCII; len(b) if there is none.
func special(b []byte, p int) int {
	for ; p+8 <= len(b); p += 8 {
		if m := specials(binary.LittleEndian.Uint64(b[p:])); m != 0 {
			return p + bits.TrailingZeros64(m)>>3
		}
	}
	for ; p < len(b); p++ {
		if ch := b[p]; ch == '"' || ch == '\\' || ch < ' ' || ch >= 0x80 {
			return p
		}
	}
	return p
}

// ones and highs have the low and the high bit of each byte set.
const (
	ones  uint64 = 0x0101010101010101
	highs uint64 = 0x8080808080808080
)

// specials marks the special bytes of x, in the sense of special, by their high
// bits. Borrows can mark plain bytes above a special one but never below, so
// the lowest mark is right.
func specials(x uint64) uint64 {
	quote, slash := x^ones*'"', x^ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x | x) & highs
}
