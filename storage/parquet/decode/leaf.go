package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// plainDictionary is the encoding that writers before format 2.0 name for pages
// of dictionaries and of their indices; files of it are still made.
const plainDictionary format.Encoding = 2

// leaf walks the pages of one column chunk after the other and decodes their
// levels and values. Its memory is reused from chunk to chunk.
type leaf struct {
	node *metadata.Node
	sink sink
	unz  *compress.Decompressor

	chunk   metadata.Chunk
	data    []byte // the pages not yet begun
	ahead   int64  // values, nulls included, in the pages not yet begun
	page    int    // ordinal of the current page in its chunk
	pages   int64  // data pages begun, over all chunks
	buffer  []byte // an uncompressed page
	hasDict bool

	// The current data page.
	left    int // values not yet decoded, nulls included
	present int // of them not null, where the header says so; else -1
	indexed bool
	indices encoding.Hybrid
	def     encoding.Hybrid
	rep     encoding.Hybrid

	valid  encoding.Bitmap // of the batch, where the leaf can be null
	levels *levels         // of a nested leaf
}

// open begins a chunk whose pages are data.
func (l *leaf) open(chunk metadata.Chunk, data []byte) {
	l.chunk, l.data, l.ahead = chunk, data, chunk.Values
	l.page, l.left, l.hasDict = -1, 0, false
	l.sink.reset()
	if l.levels != nil {
		l.levels.reset()
	}
}

// fail names the page in an error.
func (l *leaf) fail(err error) error {
	if l.page < 0 {
		return err
	}
	return fmt.Errorf("page %d: %w", l.page, err)
}

// nextPage goes to the next data page.
func (l *leaf) nextPage() error {
	for {
		l.page++
		if l.ahead == 0 || len(l.data) == 0 {
			return fmt.Errorf("its pages end %d values early", l.ahead)
		}
		h, n, err := metadata.ParsePageHeader(l.data)
		if err != nil {
			return err
		}
		body := l.data[n : n+h.CompressedSize]
		l.data = l.data[n+h.CompressedSize:]
		if h.HasCRC && crc32.ChecksumIEEE(body) != h.CRC {
			return errors.New("checksum does not match")
		}
		switch h.Kind {
		case format.DictionaryPage:
			if err := l.dictionary(h, body); err != nil {
				return fmt.Errorf("dictionary: %w", err)
			}
		case format.DataPage, format.DataPageV2:
			if int64(h.Values) > l.ahead {
				return fmt.Errorf("%d values where %d are left", h.Values, l.ahead)
			}
			l.ahead -= int64(h.Values)
			l.left, l.present = h.Values, -1
			l.pages++
			if h.Values == 0 {
				continue
			}
			if h.Kind == format.DataPage {
				return l.dataPage(h, body)
			}
			return l.dataPageV2(h, body)
		}
	}
}

// uncompress returns the bytes of a page, in place if they are not compressed.
// They are valid until the next call.
func (l *leaf) uncompress(body []byte, size int) ([]byte, error) {
	if l.chunk.Codec == format.Uncompressed {
		if len(body) != size {
			return nil, fmt.Errorf("%d bytes where %d are announced", len(body), size)
		}
		return body, nil
	}
	out, err := l.unz.Page(l.chunk.Codec, l.buffer, body, size)
	if err == nil {
		l.buffer = out
	}
	return out, err
}

func (l *leaf) dictionary(h metadata.PageHeader, body []byte) error {
	if l.hasDict {
		return errors.New("it is the second one")
	}
	if h.Encoding != format.Plain && h.Encoding != plainDictionary {
		return fmt.Errorf("%v entries", h.Encoding)
	}
	data, err := l.uncompress(body, h.UncompressedSize)
	if err != nil {
		return err
	}
	l.hasDict = true
	return l.sink.dictionary(data, h.Values)
}

func (l *leaf) dataPage(h metadata.PageHeader, body []byte) error {
	data, err := l.uncompress(body, h.UncompressedSize)
	if err != nil {
		return err
	}
	levels := func(d *encoding.Hybrid, enc format.Encoding, highest int) error {
		if highest == 0 {
			return nil
		}
		if enc != format.RLE {
			return fmt.Errorf("%v levels: %w", enc, ErrUnsupported)
		}
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return errors.New("levels end early")
		}
		n := 4 + int(binary.LittleEndian.Uint32(data))
		err := d.Reset(data[4:n], uint(bits.Len(uint(highest))))
		data = data[n:]
		return err
	}
	if err := levels(&l.rep, h.RepEncoding, l.node.MaxRep); err != nil {
		return err
	}
	if err := levels(&l.def, h.DefEncoding, l.node.MaxDef); err != nil {
		return err
	}
	return l.values(h, data)
}

func (l *leaf) dataPageV2(h metadata.PageHeader, body []byte) error {
	if err := l.rep.Reset(body[:h.RepBytes], uint(bits.Len(uint(l.node.MaxRep)))); err != nil {
		return err
	}
	body = body[h.RepBytes:]
	if err := l.def.Reset(body[:h.DefBytes], uint(bits.Len(uint(l.node.MaxDef)))); err != nil {
		return err
	}
	body = body[h.DefBytes:]
	size := h.UncompressedSize - h.DefBytes - h.RepBytes
	data := body
	switch {
	case h.Compressed && len(body) > 0:
		var err error
		if data, err = l.uncompress(body, size); err != nil {
			return err
		}
	case len(body) != size:
		return fmt.Errorf("%d bytes of values where %d are announced", len(body), size)
	}
	l.present = h.Values - h.Nulls
	return l.values(h, data)
}

// values begins the values of a data page.
func (l *leaf) values(h metadata.PageHeader, data []byte) error {
	l.indexed = h.Encoding == format.RLEDictionary || h.Encoding == plainDictionary
	switch {
	case len(data) == 0:
		// All null; writers differ in what they call the encoding, and in whether
		// there is a dictionary.
		l.indexed = false
		return l.sink.page(format.Plain, nil)
	case l.indexed:
		return l.indices.Reset(data[1:], uint(data[0]))
	}
	return l.sink.page(h.Encoding, data)
}

// append decodes n values of the current page, none of them null.
func (l *leaf) append(n int) error {
	if l.present >= 0 {
		if n > l.present {
			return errors.New("fewer nulls than announced")
		}
		l.present -= n
	}
	if n == 0 {
		return nil
	}
	if l.indexed {
		if !l.hasDict {
			return errNoDict
		}
		return l.sink.indexed(&l.indices, n)
	}
	return l.sink.plain(n)
}

// rows decodes a batch of n rows of a flat column into the sink and valid.
func (l *leaf) rows(n int) error {
	l.sink.begin(n)
	l.valid.Reset()
	for n > 0 {
		if l.left == 0 {
			if err := l.nextPage(); err != nil {
				return l.fail(err)
			}
		}
		m := min(n, l.left)
		if err := l.someRows(m); err != nil {
			return l.fail(err)
		}
		l.left -= m
		n -= m
	}
	return nil
}

// someRows decodes n rows, all of the current page.
func (l *leaf) someRows(n int) error {
	if l.node.MaxDef == 0 {
		return l.append(n)
	}
	from := l.valid.Len()
	if err := l.def.ReadBits(&l.valid, n); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	present := l.valid.Ones(from, from+n)
	if err := l.append(present); err != nil {
		return err
	}
	if present < n {
		l.sink.spread(&l.valid, from, n, present)
	}
	return nil
}
