package metadata

import (
	"errors"
	"fmt"
)

// PageKind is the role of a page in its column chunk.
type PageKind int32

// The page kinds.
const (
	DataPage       PageKind = 0
	IndexPage      PageKind = 1
	DictionaryPage PageKind = 2
	DataPageV2     PageKind = 3
)

// MaxPageBytes bounds a page, compressed or not. Writers aim at one megabyte
// and none is known to exceed a few hundred; the format's own limit is 2 GiB.
const MaxPageBytes = 1 << 30

// PageHeader describes a page.
type PageHeader struct {
	Kind PageKind
	// UncompressedSize and CompressedSize are the bytes of the page in either
	// form, level bytes included.
	UncompressedSize, CompressedSize int
	HasCRC                           bool
	CRC                              uint32 // IEEE, of the page as stored

	Values   int // nulls included; of a dictionary page its entries
	Encoding Encoding
	// DefEncoding and RepEncoding are those of the levels of a DataPage.
	DefEncoding, RepEncoding Encoding
	// Of a DataPageV2: the values that are null, the rows that begin in it, the
	// bytes of its levels, which are not compressed, and whether the rest is.
	Nulls, Rows        int
	DefBytes, RepBytes int
	Compressed         bool
}

// ParsePageHeader parses and checks the page header that data, the rest of a
// column chunk, begins with. It returns the header's length. The page itself is
// guaranteed to lie within data.
func ParsePageHeader(data []byte) (PageHeader, int, error) {
	d := &decoder{data: data}
	h := PageHeader{Kind: -1, UncompressedSize: -1, CompressedSize: -1}
	var body bool
	d.fields(func(id int16, wire byte) bool {
		switch {
		case id == 1 && wire == wireI32:
			h.Kind = PageKind(d.i32())
		case id == 2 && wire == wireI32:
			h.UncompressedSize = int(d.i32())
		case id == 3 && wire == wireI32:
			h.CompressedSize = int(d.i32())
		case id == 4 && wire == wireI32:
			h.CRC, h.HasCRC = uint32(d.i32()), true
		case id == 5 && wire == wireStruct && h.Kind == DataPage:
			body = true
			d.dataHeader(&h)
		case id == 7 && wire == wireStruct && h.Kind == DictionaryPage:
			body = true
			d.dictionaryHeader(&h)
		case id == 8 && wire == wireStruct && h.Kind == DataPageV2:
			body = true
			d.dataHeaderV2(&h)
		default:
			return false
		}
		return true
	})
	if d.err != nil {
		return PageHeader{}, 0, d.err
	}
	switch {
	case h.Kind < DataPage || h.Kind > DataPageV2:
		return PageHeader{}, 0, fmt.Errorf("page of unknown kind %d", h.Kind)
	case h.UncompressedSize < 0 || h.CompressedSize < 0:
		return PageHeader{}, 0, errors.New("page without a size")
	case h.UncompressedSize > MaxPageBytes:
		return PageHeader{}, 0, fmt.Errorf("page of %d bytes exceeds the bound of %d", h.UncompressedSize, MaxPageBytes)
	case h.CompressedSize > len(data)-d.pos:
		return PageHeader{}, 0, fmt.Errorf("page of %d bytes in a column chunk with %d left", h.CompressedSize, len(data)-d.pos)
	case !body && h.Kind != IndexPage:
		return PageHeader{}, 0, errors.New("page header without its inner part")
	case h.Values < 0 || h.Nulls < 0 || h.Nulls > h.Values || h.Rows < 0:
		return PageHeader{}, 0, fmt.Errorf("page of %d values, %d null, in %d rows", h.Values, h.Nulls, h.Rows)
	case h.DefBytes < 0 || h.RepBytes < 0 || h.DefBytes > h.CompressedSize || h.RepBytes > h.CompressedSize-h.DefBytes ||
		h.DefBytes+h.RepBytes > h.UncompressedSize:
		return PageHeader{}, 0, fmt.Errorf("levels of %d and %d bytes in a page of %d", h.RepBytes, h.DefBytes, h.CompressedSize)
	}
	return h, d.pos, nil
}

// int32s reads a structure whose fields 1 to len(v) are 32-bit integers, and
// returns whether its boolean of that number is false.
func (d *decoder) int32s(v []int32, boolean int16) (isFalse bool) {
	d.fields(func(id int16, wire byte) bool {
		if id == boolean && wire == wireFalse {
			isFalse = true
		}
		if wire != wireI32 || id < 1 || int(id) > len(v) {
			return false
		}
		v[id-1] = d.i32()
		return true
	})
	return isFalse
}

func (d *decoder) dataHeader(h *PageHeader) {
	v := []int32{-1, -1, 0, 0}
	d.int32s(v, 0)
	h.Values, h.Encoding, h.DefEncoding, h.RepEncoding, h.Compressed = int(v[0]), Encoding(v[1]), Encoding(v[2]), Encoding(v[3]), true
}

func (d *decoder) dictionaryHeader(h *PageHeader) {
	v := []int32{-1, -1}
	d.int32s(v, 0)
	h.Values, h.Encoding, h.Compressed = int(v[0]), Encoding(v[1]), true
}

func (d *decoder) dataHeaderV2(h *PageHeader) {
	v := []int32{-1, -1, -1, -1, 0, 0}
	h.Compressed = !d.int32s(v, 7)
	h.Values, h.Nulls, h.Rows, h.Encoding, h.DefBytes, h.RepBytes = int(v[0]), int(v[1]), int(v[2]), Encoding(v[3]), int(v[4]), int(v[5])
	h.DefEncoding, h.RepEncoding = RLE, RLE
}
