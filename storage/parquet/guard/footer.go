package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The bounds of what a file may claim. Those of pages are far above what writers
// make.
const (
	maxFooterBytes  = 16 << 20
	maxFooterItems  = 1 << 19 // elements of all lists of a footer, of some hundred bytes each
	maxPageBytes    = 1 << 30
	maxPageValues   = 1 << 26
	maxExpansion    = 1 << 15 // bytes of a page for each byte in the file: more than any codec reaches
	maxThriftLevels = 16
)

var errThrift = errors.New("the metadata is cut off or damaged")

// checkFooter checks that the footer lies in the file, and that the lists in it
// can be as long as they say.
func checkFooter(body []byte) error {
	const tail = 8 // length and magic
	if len(body) < tail {
		return errors.New("the file is too short")
	}
	n := int64(binary.LittleEndian.Uint32(body[len(body)-tail:]))
	if n > int64(len(body)-tail) || n > maxFooterBytes {
		return fmt.Errorf("a footer of %d bytes is not in a file of %d", n, len(body))
	}
	s := thrift{left: body[int64(len(body)-tail)-n : len(body)-tail]}
	s.structure(0, 0)
	return s.err
}

// thrift walks over data in Thrift's compact protocol without keeping any of it.
type thrift struct {
	left   []byte
	items  int
	number func(outer, field int16, v int64) // is told each integer and boolean of the outermost struct (outer 0) and of those in it, by field; may be nil
	err    error
}

func (t *thrift) fail() { t.left, t.err = nil, errThrift }

func (t *thrift) octet() (b byte) {
	if len(t.left) == 0 {
		t.fail()
		return 0
	}
	b, t.left = t.left[0], t.left[1:]
	return b
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.left)
	if n <= 0 {
		t.fail()
		return 0
	}
	t.left = t.left[n:]
	return v
}

func (t *thrift) varint() int64 {
	u := t.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (t *thrift) skip(n uint64) {
	if n > uint64(len(t.left)) {
		t.fail()
		return
	}
	t.left = t.left[n:]
}

// structure walks over the fields of a struct, which is itself the field outer.
func (t *thrift) structure(outer int16, level int) {
	for field := int16(0); t.err == nil; {
		b := t.octet()
		if b == 0 {
			return
		}
		if delta := int16(b >> 4); delta != 0 {
			field += delta
		} else {
			field = int16(t.varint())
		}
		switch kind := b & 15; {
		case kind > kindFalse:
			t.value(kind, outer, field, level)
		case t.number != nil && t.err == nil && level <= 1:
			t.number(outer, field, int64(kindFalse-kind))
		}
	}
}

// The kinds of Thrift's compact protocol.
const (
	kindTrue = iota + 1
	kindFalse
	kindByte
	kindInt16
	kindInt32
	kindInt64
	kindDouble
	kindBytes
	kindList
	kindSet
	kindMap
	kindStruct
)

func (t *thrift) value(kind byte, outer, field int16, level int) {
	if level > maxThriftLevels {
		t.fail()
		return
	}
	switch kind {
	case kindTrue, kindFalse, kindByte:
		t.octet()
	case kindInt16, kindInt32, kindInt64:
		if v := t.varint(); t.number != nil && t.err == nil && level <= 1 {
			t.number(outer, field, v)
		}
	case kindDouble:
		t.skip(8)
	case kindBytes:
		t.skip(t.uvarint())
	case kindList, kindSet:
		b := t.octet()
		n := uint64(b >> 4)
		if n == 15 {
			n = t.uvarint()
		}
		if t.items += int(min(n, maxFooterItems)); n > uint64(len(t.left)) || t.items > maxFooterItems {
			t.fail()
		}
		for ; n > 0 && t.err == nil; n-- {
			t.value(b&15, outer, field, level+1)
		}
	case kindStruct:
		t.structure(field, level+1)
	default: // maps too: Parquet has none
		t.fail()
	}
}
