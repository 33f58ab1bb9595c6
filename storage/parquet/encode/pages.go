package encode

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// NewZstd returns a zstd encoder fit for a File. It starts no goroutines and may
// be shared by any number of Files.
func NewZstd() (*zstd.Encoder, error) {
	// A window of a page; the default one would be eight times as large.
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(pageRows*8), zstd.WithEncoderCRC(false))
}

// pages compresses pages and writes them to the file, which it alone writes to.
type pages struct {
	w     io.Writer
	codec format.CompressionCodec
	zstd  *zstd.Encoder

	offset int64 // bytes written to the file

	body   []byte // a page, not yet compressed
	packed []byte
	header bytes.Buffer
	thrift thrift.Encoder
	proto  thrift.CompactProtocol

	meta format.ColumnMetaData // of the chunk being written
}

// write writes bytes that are no page.
func (p *pages) write(b []byte) error {
	n, err := p.w.Write(b)
	p.offset += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

func (p *pages) begin() {
	p.meta = format.ColumnMetaData{Codec: p.codec}
}

// dictionary writes a dictionary page.
func (p *pages) dictionary(entries []byte, n int) error {
	p.meta.DictionaryPageOffset = p.offset
	return p.page(entries, &format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
		NumValues: int32(n), Encoding: format.Plain,
	})}, format.Plain)
}

// data writes p.body as a data page.
func (p *pages) data(enc format.Encoding, rows, nulls int) error {
	if p.meta.DataPageOffset == 0 {
		p.meta.DataPageOffset = p.offset
	}
	return p.page(p.body, &format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{
		NumValues: int32(rows), Encoding: enc, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		Statistics: format.Statistics{NullCount: int64(nulls)},
	})}, enc)
}

func (p *pages) page(body []byte, h *format.PageHeader, enc format.Encoding) error {
	if len(body) > math.MaxInt32 {
		return fmt.Errorf("a page of %d bytes exceeds Parquet's bound of 2 GiB", len(body))
	}
	packed := body
	switch p.codec {
	case format.Zstd:
		p.packed = p.zstd.EncodeAll(body, p.packed[:0])
		packed = p.packed
	case format.Snappy:
		p.packed = snappy.Encode(p.packed[:cap(p.packed)], body)
		packed = p.packed
	}
	h.UncompressedPageSize, h.CompressedPageSize = int32(len(body)), int32(len(packed))
	h.CRC = int32(crc32.ChecksumIEEE(packed))
	p.header.Reset()
	p.thrift.Reset(p.proto.NewWriter(&p.header))
	if err := p.thrift.Encode(h); err != nil {
		return err
	}
	p.meta.TotalUncompressedSize += int64(p.header.Len() + len(body))
	p.meta.TotalCompressedSize += int64(p.header.Len() + len(packed))
	p.count(h.Type, enc)
	if err := p.write(p.header.Bytes()); err != nil {
		return err
	}
	return p.write(packed)
}

// count keeps the chunk's list of encodings.
func (p *pages) count(t format.PageType, enc format.Encoding) {
	if !slices.Contains(p.meta.Encoding, enc) {
		p.meta.Encoding = append(p.meta.Encoding, enc)
	}
	for i := range p.meta.EncodingStats {
		if s := &p.meta.EncodingStats[i]; s.PageType == t && s.Encoding == enc {
			s.Count++
			return
		}
	}
	p.meta.EncodingStats = append(p.meta.EncodingStats, format.PageEncodingStats{PageType: t, Encoding: enc, Count: 1})
}

// end returns what the footer says of the chunk.
func (p *pages) end(path []format.SchemaElement, values int64, stats format.Statistics) format.ColumnChunk {
	m := p.meta
	for _, e := range path {
		m.PathInSchema = append(m.PathInSchema, e.Name)
	}
	m.Type = path[len(path)-1].Type.V
	m.NumValues, m.Statistics = values, stats
	if !slices.Contains(m.Encoding, format.RLE) {
		m.Encoding = append(m.Encoding, format.RLE) // that of the levels
	}
	slices.Sort(m.Encoding)
	return format.ColumnChunk{MetaData: m}
}
