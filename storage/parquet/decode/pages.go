package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// plainDictionary is the encoding that writers before format 2.0 name for pages
// of dictionaries and of their indices; files of it are still made.
const plainDictionary format.Encoding = 2

// nextPage goes to the next data page.
func (c *Column) nextPage() error {
	for {
		c.page++
		if c.ahead == 0 || len(c.data) == 0 {
			return fmt.Errorf("its pages end %d values early", c.ahead)
		}
		h, n, err := metadata.ParsePageHeader(c.data)
		if err != nil {
			return err
		}
		body := c.data[n : n+h.CompressedSize]
		c.data = c.data[n+h.CompressedSize:]
		if h.HasCRC && crc32.ChecksumIEEE(body) != h.CRC {
			return errors.New("checksum does not match")
		}
		switch h.Kind {
		case format.DictionaryPage:
			if err := c.dictionary(h, body); err != nil {
				return fmt.Errorf("dictionary: %w", err)
			}
		case format.DataPage, format.DataPageV2:
			if int64(h.Values) > c.ahead {
				return fmt.Errorf("%d values where %d are left", h.Values, c.ahead)
			}
			c.ahead -= int64(h.Values)
			c.left, c.present = h.Values, -1
			if h.Values == 0 {
				continue
			}
			if h.Kind == format.DataPage {
				return c.dataPage(h, body)
			}
			return c.dataPageV2(h, body)
		}
	}
}

// uncompress returns the bytes of a page, in place if they are not compressed.
// They are valid until the next call.
func (c *Column) uncompress(body []byte, size int) ([]byte, error) {
	if c.chunk.Codec == format.Uncompressed {
		if len(body) != size {
			return nil, fmt.Errorf("%d bytes where %d are announced", len(body), size)
		}
		return body, nil
	}
	out, err := c.unz.Page(c.chunk.Codec, c.buffer, body, size)
	if err == nil {
		c.buffer = out
	}
	return out, err
}

func (c *Column) dictionary(h metadata.PageHeader, body []byte) error {
	if c.hasDict {
		return errors.New("it is the second one")
	}
	if h.Encoding != format.Plain && h.Encoding != plainDictionary {
		return fmt.Errorf("%v entries", h.Encoding)
	}
	data, err := c.uncompress(body, h.UncompressedSize)
	if err != nil {
		return err
	}
	c.hasDict = true
	return c.sink.dictionary(data, h.Values)
}

func (c *Column) dataPage(h metadata.PageHeader, body []byte) error {
	data, err := c.uncompress(body, h.UncompressedSize)
	if err != nil {
		return err
	}
	rep, def := c.widths()
	if data, err = levels(&c.rep, h.RepEncoding, rep, data); err != nil {
		return err
	}
	if data, err = levels(&c.def, h.DefEncoding, def, data); err != nil {
		return err
	}
	return c.values(h, data)
}

// widths returns the bits of the levels; 0 where there are none.
func (c *Column) widths() (rep, def uint) {
	switch {
	case c.lists != nil:
		return 1, c.lists.width()
	case c.nullable:
		return 0, 1
	}
	return 0, 0
}

// levels begins levels of so many bits, whose length comes before them in data, and
// returns what comes after.
func levels(into *encoding.Hybrid, enc format.Encoding, width uint, data []byte) (values []byte, err error) {
	if width == 0 {
		return data, nil
	}
	if enc != format.RLE {
		return nil, fmt.Errorf("%v levels: %w", enc, ErrUnsupported)
	}
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
		return nil, errors.New("levels end early")
	}
	n := 4 + int(binary.LittleEndian.Uint32(data))
	return data[n:], into.Reset(data[4:n], width)
}

func (c *Column) dataPageV2(h metadata.PageHeader, body []byte) error {
	rep, def := c.widths()
	if err := c.rep.Reset(body[:h.RepBytes], rep); err != nil {
		return err
	}
	body = body[h.RepBytes:]
	if err := c.def.Reset(body[:h.DefBytes], def); err != nil {
		return err
	}
	body = body[h.DefBytes:]
	size := h.UncompressedSize - h.DefBytes - h.RepBytes
	data := body
	switch {
	case h.Compressed && len(body) > 0:
		var err error
		if data, err = c.uncompress(body, size); err != nil {
			return err
		}
	case len(body) != size:
		return fmt.Errorf("%d bytes of values where %d are announced", len(body), size)
	}
	if c.lists == nil { // of lists, writers count differently
		c.present = h.Values - h.Nulls
	}
	return c.values(h, data)
}

// values begins the values of a data page.
func (c *Column) values(h metadata.PageHeader, data []byte) error {
	c.indexed = h.Encoding == format.RLEDictionary || h.Encoding == plainDictionary
	switch {
	case len(data) == 0:
		// All null; writers differ in what they call the encoding, and in whether
		// there is a dictionary.
		c.indexed = false
		return c.sink.page(format.Plain, nil)
	case c.indexed:
		return c.indices.Reset(data[1:], uint(data[0]))
	}
	return c.sink.page(h.Encoding, data)
}

// append decodes n values of the current page, none of them null.
func (c *Column) append(n int) error {
	if c.present >= 0 {
		if n > c.present {
			return errors.New("fewer nulls than announced")
		}
		c.present -= n
	}
	if n == 0 {
		return nil
	}
	if c.indexed {
		if !c.hasDict {
			return errNoDict
		}
		return c.sink.indexed(&c.indices, n)
	}
	return c.sink.plain(n)
}
