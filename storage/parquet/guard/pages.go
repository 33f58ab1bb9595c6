package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

var errPage = errors.New("a page has more values or bytes than it can have")

// plainDictionary is RLEDictionary, as earlier versions of the format call it.
const plainDictionary format.Encoding = 2

// checkPages checks what the pages of a file claim to hold.
func checkPages(body []byte, file *parquet.File) error {
	leaves := Leaves(file.Root())
	var c pageChecker
	for _, group := range file.Metadata().RowGroups {
		for i, column := range group.Columns {
			at, size := column.MetaData.DataPageOffset, column.MetaData.TotalCompressedSize
			if first := column.MetaData.DictionaryPageOffset; first != 0 {
				at = first
			}
			if at < 0 || size < 0 || at > int64(len(body)) || size > int64(len(body))-at || i >= len(leaves) {
				return fmt.Errorf("a column of %d bytes at %d is not in a file of %d", size, at, len(body))
			}
			c.leaf = leaves[i]
			for left := body[at : at+size]; len(left) > 0; {
				h, rest, err := headerOf(left)
				if err == nil {
					err = c.page(h, rest[:h.packed])
				}
				if err != nil {
					return fmt.Errorf("column %s: %w", NameOf(c.leaf), err)
				}
				left = rest[h.packed:]
			}
		}
	}
	return nil
}

// pageChecker checks the pages of a column.
type pageChecker struct {
	leaf *parquet.Column
	buf  []byte // for an uncompressed page
}

// pageHeader is Thrift's PageHeader, as far as the checks need it.
type pageHeader struct {
	kind             format.PageType
	expanded, packed int64 // bytes of the page, and of that in the file
	values           int64 // nulls too
	encoding         format.Encoding
	levels           [2]int64 // of repetition and definition: their encoding, in version 2 their bytes
	compressed       bool
}

// headerOf reads the header of the first page of data, and returns what comes
// after it.
func headerOf(data []byte) (h pageHeader, rest []byte, err error) {
	h.compressed = true
	s := thrift{left: data, number: func(outer, field int16, v int64) {
		switch [2]int16{outer, field} {
		case [2]int16{0, 1}:
			h.kind = format.PageType(v)
		case [2]int16{0, 2}:
			h.expanded = v
		case [2]int16{0, 3}:
			h.packed = v
		case [2]int16{5, 1}, [2]int16{7, 1}, [2]int16{8, 1}: // data page, dictionary page, data page of version 2
			h.values = v
		case [2]int16{5, 2}, [2]int16{7, 2}, [2]int16{8, 4}:
			h.encoding = format.Encoding(v)
		case [2]int16{5, 3}, [2]int16{8, 5}:
			h.levels[1] = v
		case [2]int16{5, 4}, [2]int16{8, 6}:
			h.levels[0] = v
		case [2]int16{8, 7}:
			h.compressed = v != 0
		}
	}}
	if s.structure(0, 0); s.err != nil {
		return h, nil, s.err
	}
	if h.packed < 0 || h.packed > int64(len(s.left)) || h.expanded < 0 || h.expanded > min(maxPageBytes, (h.packed+1)*maxExpansion) || h.values < 0 || h.values > maxPageValues {
		return h, nil, fmt.Errorf("a page of %d bytes, %d in the file, and %d values cannot be", h.expanded, h.packed, h.values)
	}
	return h, s.left, nil
}

// page checks that a page holds as much as its header says.
func (c *pageChecker) page(h pageHeader, data []byte) (err error) {
	levels := [2]int{c.leaf.MaxRepetitionLevel(), c.leaf.MaxDefinitionLevel()}
	switch h.kind {
	case format.DictionaryPage:
		if data, err = c.expand(data, h.expanded); err == nil && h.values > 8*int64(len(data)) {
			err = errPage
		}
		return err
	case format.DataPageV2:
		for i, n := range h.levels {
			if n < 0 || n > int64(len(data)) {
				return errPage
			}
			if err := checkRuns(data[:n], bits.Len(uint(levels[i])), h.values); err != nil {
				return err
			}
			data, h.expanded = data[n:], h.expanded-n
		}
		if h.compressed {
			data, err = c.expand(data, max(0, h.expanded))
		}
	case format.DataPage:
		data, err = c.expand(data, h.expanded)
		for i, level := range levels {
			if level == 0 || err != nil {
				continue
			}
			if format.Encoding(h.levels[i]) != format.RLE {
				return fmt.Errorf("levels in the encoding %s", format.Encoding(h.levels[i]))
			}
			data, err = checkSizedRuns(data, bits.Len(uint(level)), h.values)
		}
	default:
		return nil // the library passes over it
	}
	if err != nil {
		return err
	}
	switch h.encoding {
	case format.Plain, format.ByteStreamSplit:
	case plainDictionary, format.RLEDictionary:
		if len(data) > 0 {
			return checkRuns(data[1:], int(data[0]), h.values)
		}
	case format.RLE:
		_, err = checkSizedRuns(data, 1, h.values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray:
		s := thrift{left: data}
		_, _ = s.uvarint(), s.uvarint() // sizes of blocks
		if n := s.uvarint(); s.err != nil || n > uint64(h.values) {
			return errPage
		}
	default:
		return fmt.Errorf("values in the encoding %s", h.encoding)
	}
	return err
}

// expand returns the bytes of a page that are compressed in the file. They are
// valid until the next call.
func (c *pageChecker) expand(data []byte, size int64) ([]byte, error) {
	codec := c.leaf.Compression()
	switch codec.CompressionCodec() {
	case format.Uncompressed:
		return data, nil
	case format.Snappy: // which allocates what its first bytes say
		if n, err := snappy.DecodedLen(data); err != nil || int64(n) != size {
			return nil, errPage
		}
	case format.Brotli: // in which a few bytes may stand for any number
		return nil, errors.New("pages compressed by brotli are not read")
	}
	if int64(cap(c.buf)) < size {
		c.buf = make([]byte, size)
	}
	return codec.Decode(c.buf[:size], data)
}

// checkSizedRuns checks runs whose length comes before them, and returns what
// comes after.
func checkSizedRuns(data []byte, width int, values int64) (rest []byte, err error) {
	if len(data) < 4 {
		return nil, errPage
	}
	n := int64(binary.LittleEndian.Uint32(data))
	if data = data[4:]; n > int64(len(data)) {
		return nil, errPage
	}
	return data[n:], checkRuns(data[:n], width, values)
}

// checkRuns checks the runs of Parquet's RLE encoding, bit-packed ones among them,
// which have values of so many bits.
func checkRuns(data []byte, width int, values int64) error {
	s := thrift{left: data}
	for values += 8; len(s.left) > 0; { // the last bit-packed run is padded
		h := s.uvarint()
		count, size := h>>1, uint64(width+7)/8
		if h&1 == 1 {
			count, size = count*8, count*uint64(width)
		}
		if h>>1 > maxPageValues || count > uint64(values) {
			return errPage
		}
		values -= int64(count)
		if s.skip(size); s.err != nil {
			return errPage
		}
	}
	return nil
}
