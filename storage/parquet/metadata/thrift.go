package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// maxThriftDepth bounds the nesting of structures that are skipped. The deepest
// one that Parquet defines has five levels; the rest is room for its future.
const maxThriftDepth = 16

var errTruncated = errors.New("metadata ends early")

// Wire types of Thrift's compact protocol.
const (
	wireStop   = 0
	wireTrue   = 1
	wireFalse  = 2
	wireByte   = 3
	wireI16    = 4
	wireI32    = 5
	wireI64    = 6
	wireDouble = 7
	wireBinary = 8
	wireList   = 9
	wireSet    = 10
	wireMap    = 11
	wireStruct = 12
	wireUUID   = 13
)

// decoder reads Thrift's compact protocol from bytes in memory. The first error
// sticks: every later read yields zeros, and loops over fields and elements end.
// It allocates nothing by itself.
type decoder struct {
	data     []byte
	pos      int
	elements int // of the lists, sets and maps begun
	err      error
}

// Elements walks over a structure of Thrift's compact protocol and returns how
// many elements the lists, sets and maps in it have, all of which are there: what
// a parser that keeps them allocates memory by.
func Elements(structure []byte) (int, error) {
	d := &decoder{data: structure}
	d.skip(wireStruct, maxThriftDepth)
	return d.elements, d.err
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("at byte %d of the metadata: %w", d.pos, err)
	}
	d.pos = len(d.data)
}

func (d *decoder) byte() byte {
	if d.pos >= len(d.data) {
		d.fail(errTruncated)
		return 0
	}
	b := d.data[d.pos]
	d.pos++
	return b
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.data[d.pos:])
	switch {
	case n == 0:
		d.fail(errTruncated)
		return 0
	case n < 0:
		d.fail(errors.New("integer of more than 64 bits"))
		return 0
	}
	d.pos += n
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) i32() int32 {
	v := d.varint()
	if int64(int32(v)) != v {
		d.fail(fmt.Errorf("%d does not fit 32 bits", v))
		return 0
	}
	return int32(v)
}

// bytes returns the next n bytes, in place.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.data)-d.pos) {
		d.fail(errTruncated)
		return nil
	}
	b := d.data[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b
}

// list reads the header of a list: the type of its elements and their number,
// which is at most that of the bytes left, since no element takes less than one.
func (d *decoder) list() (elem byte, n uint64) {
	h := d.byte()
	if n = uint64(h >> 4); n == 15 {
		n = d.uvarint()
	}
	return h & 0x0f, d.count(n)
}

// count returns the number of elements of a list, set or map, 0 where so many
// cannot follow.
func (d *decoder) count(n uint64) uint64 {
	if n > uint64(len(d.data)-d.pos) {
		d.fail(errTruncated)
		return 0
	}
	d.elements += int(n)
	return n
}

// structure and structures read a field that is a structure, or each one of a
// field that is a list of them.
type (
	structure  func()
	structures func()
)

// fields reads one structure: the value of each field goes where into says at
// its number. Fields that it says nothing of, or that have another type, are
// skipped.
func (d *decoder) fields(into []any) {
	d.each(func(id int16, wire byte) bool { return id > 0 && int(id) < len(into) && d.value(wire, into[id]) })
}

func (d *decoder) value(wire byte, into any) (read bool) {
	switch into := into.(type) {
	case *bool:
		if read = wire == wireTrue || wire == wireFalse; read {
			*into = wire == wireTrue
		}
	case *byte:
		if read = wire == wireByte; read {
			*into = d.byte()
		}
	case *int32:
		if read = wire == wireI32; read {
			*into = d.i32()
		}
	case *int:
		if read = wire == wireI32; read {
			*into = int(d.i32())
		}
	case *thrift.Null[int32]:
		if read = wire == wireI32; read {
			into.Set(d.i32())
		}
	case *int64:
		if read = wire == wireI64; read {
			*into = d.varint()
		}
	case *[]byte:
		if read = wire == wireBinary; read {
			*into = d.bytes(d.uvarint())
		}
	case structure:
		if read = wire == wireStruct; read {
			into()
		}
	case structures:
		if read = wire == wireList; read {
			elem, n := d.list()
			if n > 0 && elem != wireStruct {
				d.fail(fmt.Errorf("list of wire type %d, not of structures", elem))
			}
			for ; n > 0 && d.err == nil; n-- {
				into()
			}
		}
	}
	return read
}

// each calls field for every field of one structure, with its number and wire
// type; what field does not read is skipped. Booleans have no value beyond their
// wire type.
func (d *decoder) each(field func(id int16, wire byte) (read bool)) {
	var id int16
	for d.err == nil {
		h := d.byte()
		wire := h & 0x0f
		if wire == wireStop {
			return
		}
		if delta := int16(h >> 4); delta != 0 {
			id += delta
		} else {
			id = int16(d.varint())
		}
		if d.err == nil && !field(id, wire) {
			d.skip(wire, maxThriftDepth)
		}
	}
}

func (d *decoder) skip(wire byte, depth int) {
	if depth == 0 {
		d.fail(errors.New("nested too deeply"))
		return
	}
	switch wire {
	case wireTrue, wireFalse:
	case wireByte:
		d.byte()
	case wireI16, wireI32, wireI64:
		d.uvarint()
	case wireDouble:
		d.bytes(8)
	case wireUUID:
		d.bytes(16)
	case wireBinary:
		d.bytes(d.uvarint())
	case wireList, wireSet:
		for elem, n := d.list(); n > 0 && d.err == nil; n-- {
			d.skipElement(elem, depth-1)
		}
	case wireMap:
		n := d.count(d.uvarint())
		if n == 0 {
			return
		}
		for kv := d.byte(); n > 0 && d.err == nil; n-- {
			d.skipElement(kv>>4, depth-1)
			d.skipElement(kv&0x0f, depth-1)
		}
	case wireStruct:
		d.each(func(_ int16, wire byte) bool {
			d.skip(wire, depth-1)
			return true
		})
	default:
		d.fail(fmt.Errorf("wire type %d", wire))
	}
}

// skipElement skips an element of a collection, in which a boolean takes a byte.
func (d *decoder) skipElement(wire byte, depth int) {
	if wire == wireTrue || wire == wireFalse {
		d.byte()
		return
	}
	d.skip(wire, depth)
}
