package event

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline/table"
)

// maxSteps bounds the values skipped in an event of so many bytes: nulls, and
// records of nothing, take no bytes at all, so that a few bytes could say that
// there are 2^60 of them.
func maxSteps(bytes int) int { return 4*bytes + 1024 }

// The reading functions take an event b and the position p of what they read
// and return the position after it, or -1 after f.fail. No length in b is
// believed before it was held against len(b).

func (f *avroFormat) fail(what string, at int) int {
	f.Refuse(fmt.Sprintf("malformed Avro: %s at byte %d", what, at), "malformed Avro")
	return -1
}

// long reads a zigzag varint of at most 64 bits.
func (f *avroFormat) long(b []byte, p int) (v int64, next int) {
	if p < len(b) && b[p] < 0x80 {
		u := b[p]
		return int64(u>>1) ^ -int64(u&1), p + 1
	}
	u, n := binary.Uvarint(b[p:])
	switch {
	case n == 0:
		return 0, f.fail("the event ends within a number", len(b))
	case n < 0:
		return 0, f.fail("a number of more than 64 bits", p)
	}
	return int64(u>>1) ^ -int64(u&1), p + n
}

// whole reads a number of type t, int or long.
func (f *avroFormat) whole(t *avroType, b []byte, p int) (v int64, next int) {
	v, next = f.long(b, p)
	if t.kind == avroInt && next >= 0 && int64(int32(v)) != v {
		return 0, f.fail("an int of more than 32 bits", p)
	}
	return v, next
}

// length reads the length of a string or bytes, of which there are as many.
func (f *avroFormat) length(b []byte, p int) (n, next int) {
	v, next := f.long(b, p)
	if next < 0 {
		return 0, -1
	}
	if v < 0 || v > int64(len(b)-next) {
		return 0, f.fail("a length that reaches beyond the event", p)
	}
	return int(v), next
}

// index reads a position in a list of n.
func (f *avroFormat) index(b []byte, p, n int, what string) (i, next int) {
	if p < len(b) && b[p]&0x81 == 0 && int(b[p]>>1) < n { // one byte, not negative
		return int(b[p] >> 1), p + 1
	}
	v, next := f.long(b, p)
	if next < 0 {
		return 0, -1
	}
	if v < 0 || v >= int64(n) {
		return 0, f.fail(what, p)
	}
	return int(v), next
}

const (
	noBranch = "a branch that the union does not have"
	noSymbol = "a symbol that the enum does not have"
)

// skip passes over a value of type t, checking its syntax only. depth is that
// of what holds the value.
func (f *avroFormat) skip(t *avroType, b []byte, p, depth int) int {
	if f.steps--; f.steps < 0 {
		return f.fail("more values than the event can hold", p)
	}
	switch t.kind {
	case avroNull:
		return p
	case avroBoolean:
		_, p = f.boolean(b, p)
		return p
	case avroInt, avroLong:
		_, p = f.whole(t, b, p)
		return p
	case avroFloat:
		return f.pass(b, p, 4)
	case avroDouble:
		return f.pass(b, p, 8)
	case avroFixed:
		return f.pass(b, p, t.size)
	case avroBytes, avroString:
		n, next := f.length(b, p)
		if next < 0 {
			return -1
		}
		return next + n
	case avroEnum:
		_, p = f.index(b, p, len(t.symbols), noSymbol)
		return p
	}
	if depth == maxDepth {
		return f.fail("nested too deep", p)
	}
	switch t.kind {
	case avroUnion:
		i, next := f.index(b, p, len(t.parts), noBranch)
		if next < 0 {
			return -1
		}
		return f.skip(t.parts[i], b, next, depth+1)
	case avroRecord:
		for _, part := range t.parts {
			if p = f.skip(part, b, p, depth+1); p < 0 {
				return -1
			}
		}
		return p
	}
	return f.blocks(b, p, func(p int) int {
		if t.kind == avroMap {
			n, next := f.length(b, p)
			if next < 0 {
				return -1
			}
			p = next + n
		}
		return f.skip(t.parts[0], b, p, depth+1)
	})
}

// blocks reads the items of an array or a map, each by a call of item.
func (f *avroFormat) blocks(b []byte, p int, item func(p int) int) int {
	for {
		count, next := f.long(b, p)
		if next < 0 || count == 0 {
			return next
		}
		end := -1
		if count < 0 { // the block says how many bytes it has
			var size int64
			at := next
			if size, next = f.long(b, next); next < 0 {
				return -1
			}
			if size < 0 || size > int64(len(b)-next) {
				return f.fail("a block that reaches beyond the event", at)
			}
			end = next + int(size)
			count = -count // the smallest stays negative: a block without items
		}
		p = next
		for ; count > 0; count-- {
			if p = item(p); p < 0 {
				return -1
			}
		}
		if end >= 0 && p != end || count < 0 {
			return f.fail("a block of another length than it says", next)
		}
	}
}

// pass passes over n bytes.
func (f *avroFormat) pass(b []byte, p, n int) int {
	if n > len(b)-p {
		return f.fail("the event ends within a value", len(b))
	}
	return p + n
}

func (f *avroFormat) boolean(b []byte, p int) (v byte, next int) {
	switch {
	case p >= len(b):
		return 0, f.fail("the event ends within a value", len(b))
	case b[p] > 1:
		return 0, f.fail("a boolean that is neither 0 nor 1", p)
	}
	return b[p], p + 1
}

// value reads a value of type t into column c's cell. One that the column does
// not take is held against the cell.
func (f *avroFormat) value(c *column, t *avroType, fills bool, b []byte, p int) int {
	if t.kind == avroNull {
		f.claim(c, null)
		c.at = p
		return p
	}
	if !fills {
		next := f.skip(t, b, p, 1)
		if next >= 0 {
			f.blame(c, p, t.name)
		}
		return next
	}
	switch t.kind {
	case avroInt, avroLong:
		v, next := f.whole(t, b, p)
		if next >= 0 {
			f.integer(c, t.logical, v, p)
		}
		return next
	case avroString:
		n, next := f.length(b, p)
		if next < 0 {
			return -1
		}
		f.text(c, b[next:next+n], p)
		return next + n
	case avroEnum:
		i, next := f.index(b, p, len(t.symbols), noSymbol)
		if next >= 0 {
			f.setWord(c, c.words.add(t.symbols[i]))
		}
		return next
	case avroFloat:
		next := f.pass(b, p, 4)
		if next >= 0 {
			f.finite(c, float64(math.Float32frombits(binary.LittleEndian.Uint32(b[p:]))), p)
		}
		return next
	case avroDouble:
		next := f.pass(b, p, 8)
		if next >= 0 {
			f.finite(c, math.Float64frombits(binary.LittleEndian.Uint64(b[p:])), p)
		}
		return next
	case avroBytes:
		n, next := f.length(b, p)
		if next < 0 {
			return -1
		}
		f.decimal(c, b[next:next+n], t.scale, p)
		return next + n
	case avroArray:
		return f.list(c, t.parts[0], b, p)
	case avroFixed:
		next := f.pass(b, p, t.size)
		if next >= 0 {
			f.decimal(c, b[p:next], t.scale, p)
		}
		return next
	}
	v, next := f.boolean(b, p)
	if next >= 0 {
		c.bools[f.rows] = v
		f.claim(c, filled)
	}
	return next
}

// list reads an array of items as a column's list.
func (f *avroFormat) list(c *column, items *avroType, b []byte, p int) int {
	element := f.openList(c)
	next := f.blocks(b, p, func(p int) int {
		t, fills := items, true
		if items.kind == avroUnion {
			var branch int
			if branch, p = f.index(b, p, len(items.parts), noBranch); p < 0 {
				return -1
			}
			t = items.parts[branch]
			fills = t.fills(element.typ, f.times.epoch)
		}
		if p = f.value(element, t, fills, b, p); p >= 0 {
			f.push(c)
		}
		return p
	})
	if next >= 0 {
		f.closeList(c)
	}
	return next
}

// text takes a string as a column's word or time.
func (f *avroFormat) text(c *column, s []byte, at int) {
	if c.typ != table.Timestamp {
		f.word(c, s, at)
	} else if us, ok := f.times.parse(s); ok {
		f.setInt(c, us)
	} else {
		f.blame(c, at, foundNoTime)
	}
}

// decimal takes a decimal as the nearest number, as Parquet's are.
func (f *avroFormat) decimal(c *column, unscaled []byte, scale, at int) {
	v, ok := table.Decimal(unscaled, scale)
	if !ok {
		f.blame(c, at, foundLarge)
		return
	}
	f.setFloat(c, v)
}

func (f *avroFormat) finite(c *column, v float64, at int) {
	if v-v != 0 {
		f.blame(c, at, foundNotFinite)
		return
	}
	f.setFloat(c, v)
}

// integer takes an int or a long as a number, a time of day or a time.
func (f *avroFormat) integer(c *column, l *avroLogical, v int64, at int) {
	switch {
	case c.float != nil:
		f.setFloat(c, float64(v))
		return
	case c.typ == table.Int64:
		if l != nil {
			v *= l.unit
		}
		f.setInt(c, v)
		return
	case l == nil:
		l = &avroLogical{unit: 1000} // epoch_ms
	}
	us, ok := l.micros(v)
	if ok && l.local {
		us = f.local(us)
		ok = us >= table.MinMicros && us <= table.MaxMicros
	}
	if !ok {
		f.blame(c, at, foundFarTime)
		return
	}
	f.setInt(c, us)
}

// local returns the moment at which a clock of the zone shows a time.
func (f *avroFormat) local(us int64) int64 {
	if f.zone == nil {
		return us
	}
	second := table.FloorDiv(us, 1e6)
	return us - (second-f.zone.Local(second))*1e6
}
