package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// The bounds of what a file may claim. Those of pages are far above what writers
// make.
const (
	maxFooterBytes = 16 << 20
	maxFooterItems = 1 << 19 // elements of all lists of a footer, of some hundred bytes each
	maxPageValues  = 1 << 26
	maxExpansion   = 1 << 15 // bytes of a page for each byte in the file: more than any codec reaches
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
					err = c.page(h, rest[:h.CompressedSize])
				}
				if err != nil {
					return fmt.Errorf("column %s: %w", NameOf(c.leaf), err)
				}
				left = rest[h.CompressedSize:]
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

// headerOf reads the header of the first page of data, and returns what comes
// after it.
func headerOf(data []byte) (h metadata.PageHeader, rest []byte, err error) {
	h, n, err := metadata.ParsePageHeader(data)
	if err == nil && (h.UncompressedSize > (h.CompressedSize+1)*maxExpansion || h.Values > maxPageValues) {
		err = fmt.Errorf("a page of %d bytes, %d in the file, and %d values cannot be", h.UncompressedSize, h.CompressedSize, h.Values)
	}
	return h, data[n:], err
}

// page checks that a page holds as much as its header says.
func (c *pageChecker) page(h metadata.PageHeader, data []byte) (err error) {
	levels := [2]int{c.leaf.MaxRepetitionLevel(), c.leaf.MaxDefinitionLevel()}
	switch h.Kind {
	case format.DictionaryPage:
		if data, err = c.expand(data, h.UncompressedSize); err == nil && h.Values > 8*len(data) {
			err = errPage
		}
		return err
	case format.DataPageV2:
		for i, n := range [2]int{h.RepBytes, h.DefBytes} {
			if err := checkRuns(data[:n], bits.Len(uint(levels[i])), h.Values); err != nil {
				return err
			}
			data = data[n:]
		}
		if h.Compressed {
			data, err = c.expand(data, h.UncompressedSize-h.RepBytes-h.DefBytes)
		}
	case format.DataPage:
		data, err = c.expand(data, h.UncompressedSize)
		for i, encoding := range [2]format.Encoding{h.RepEncoding, h.DefEncoding} {
			if levels[i] == 0 || err != nil {
				continue
			}
			if encoding != format.RLE {
				return fmt.Errorf("levels in the encoding %s", encoding)
			}
			data, err = checkSizedRuns(data, bits.Len(uint(levels[i])), h.Values)
		}
	default:
		return nil // the library passes over it
	}
	if err != nil {
		return err
	}
	switch h.Encoding {
	case format.Plain, format.ByteStreamSplit:
	case plainDictionary, format.RLEDictionary:
		if len(data) > 0 {
			return checkRuns(data[1:], int(data[0]), h.Values)
		}
	case format.RLE:
		_, err = checkSizedRuns(data, 1, h.Values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray:
		for range 2 { // sizes of blocks
			_, n := binary.Uvarint(data)
			data = data[max(n, 0):]
		}
		if values, n := binary.Uvarint(data); n <= 0 || values > uint64(h.Values) {
			return errPage
		}
	default:
		return fmt.Errorf("values in the encoding %s", h.Encoding)
	}
	return err
}

// expand returns the bytes of a page that are compressed in the file. They are
// valid until the next call.
func (c *pageChecker) expand(data []byte, size int) ([]byte, error) {
	codec := c.leaf.Compression()
	switch codec.CompressionCodec() {
	case format.Uncompressed:
		return data, nil
	case format.Snappy: // which allocates what its first bytes say
		if n, err := snappy.DecodedLen(data); err != nil || n != size {
			return nil, errPage
		}
	case format.Brotli: // in which a few bytes may stand for any number
		return nil, errors.New("pages compressed by brotli are not read")
	}
	if cap(c.buf) < size {
		c.buf = make([]byte, size)
	}
	return codec.Decode(c.buf[:size], data)
}

// checkSizedRuns checks runs whose length comes before them, and returns what
// comes after.
func checkSizedRuns(data []byte, width, values int) (rest []byte, err error) {
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
func checkRuns(data []byte, width, values int) error {
	for left := uint64(values) + 8; len(data) > 0; { // the last bit-packed run is padded
		h, n := binary.Uvarint(data)
		count, size := h>>1, uint64(width+7)/8
		if h&1 == 1 {
			count, size = count*8, count*uint64(width)
		}
		if n <= 0 || h>>1 > maxPageValues || count > left || size > uint64(len(data)-n) {
			return errPage
		}
		left -= count
		data = data[n+int(size):]
	}
	return nil
}
