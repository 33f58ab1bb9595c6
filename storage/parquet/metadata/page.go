package metadata

import (
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// MaxPageBytes bounds a page, compressed or not. Writers aim at one megabyte
// and none is known to exceed a few hundred; the format's own limit is 2 GiB.
const MaxPageBytes = 1 << 30

// PageHeader describes a page.
type PageHeader struct {
	Kind format.PageType
	// UncompressedSize and CompressedSize are the bytes of the page in either
	// form, level bytes included.
	UncompressedSize, CompressedSize int
	HasCRC                           bool
	CRC                              uint32 // IEEE, of the page as stored

	Values   int // nulls included; of a dictionary page its entries
	Encoding format.Encoding
	// DefEncoding and RepEncoding are those of the levels of a DataPage.
	DefEncoding, RepEncoding format.Encoding
	// Of a DataPageV2: the values that are null, the bytes of its
	// levels, which are not compressed, and whether the rest is.
	Nulls              int
	DefBytes, RepBytes int
	Compressed         bool
}

// ParsePageHeader parses and checks the page header that data, the rest of a
// column chunk, begins with. It returns the header's length. The page itself is
// guaranteed to lie within data.
func ParsePageHeader(data []byte) (PageHeader, int, error) {
	d := &decoder{data: data}
	h := PageHeader{Kind: -1, UncompressedSize: -1, CompressedSize: -1, Compressed: true}
	var crc thrift.Null[int32]
	var body bool
	inner := func(kind format.PageType, fields ...any) structure {
		return func() {
			if h.Kind != kind {
				fields = nil
			} else {
				body, h.Values, h.Encoding = true, -1, -1
			}
			if kind == format.DataPageV2 && fields != nil {
				h.Nulls = -1
			}
			d.fields(fields)
		}
	}
	encoding := (*int32)(&h.Encoding)
	d.fields([]any{1: (*int32)(&h.Kind), 2: &h.UncompressedSize, 3: &h.CompressedSize, 4: &crc,
		5: inner(format.DataPage, nil, &h.Values, encoding, (*int32)(&h.DefEncoding), (*int32)(&h.RepEncoding)),
		7: inner(format.DictionaryPage, nil, &h.Values, encoding),
		8: inner(format.DataPageV2, nil, &h.Values, &h.Nulls, nil, encoding, &h.DefBytes, &h.RepBytes, &h.Compressed)})
	h.CRC, h.HasCRC = uint32(crc.V), crc.Valid
	if d.err != nil {
		return PageHeader{}, 0, d.err
	}
	switch {
	case h.Kind < format.DataPage || h.Kind > format.DataPageV2:
		return PageHeader{}, 0, fmt.Errorf("page of unknown kind %d", h.Kind)
	case h.UncompressedSize < 0 || h.CompressedSize < 0:
		return PageHeader{}, 0, errors.New("page without a size")
	case h.UncompressedSize > MaxPageBytes:
		return PageHeader{}, 0, fmt.Errorf("page of %d bytes exceeds the bound of %d", h.UncompressedSize, MaxPageBytes)
	case h.CompressedSize > len(data)-d.pos:
		return PageHeader{}, 0, fmt.Errorf("page of %d bytes in a column chunk with %d left", h.CompressedSize, len(data)-d.pos)
	case !body && h.Kind != format.IndexPage:
		return PageHeader{}, 0, errors.New("page header without its inner part")
	case h.Values < 0 || h.Nulls < 0 || h.Nulls > h.Values:
		return PageHeader{}, 0, fmt.Errorf("page of %d values, %d null", h.Values, h.Nulls)
	case h.DefBytes < 0 || h.RepBytes < 0 || h.DefBytes > h.CompressedSize || h.RepBytes > h.CompressedSize-h.DefBytes ||
		h.DefBytes+h.RepBytes > h.UncompressedSize:
		return PageHeader{}, 0, fmt.Errorf("levels of %d and %d bytes in a page of %d", h.RepBytes, h.DefBytes, h.CompressedSize)
	}
	return h, d.pos, nil
}
