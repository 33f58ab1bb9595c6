// Package compress undoes the compression of Parquet pages whose claims nobody
// vouches for: a page never makes it allocate more than its compressed bytes
// could possibly hold.
package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Padding is the spare capacity behind every page that Page returns: decoders
// that copy in words may write, and unpackers read, that far past the end.
const Padding = 64

// The most bytes that one compressed byte can stand for, by codec. A page that
// claims more is refused before anything is allocated.
const (
	snappyRatio = 24      // copies of 64 bytes take 3
	lz4Ratio    = 256     // a match grows by 255 for every byte of its length
	gzipRatio   = 1040    // deflate: matches of 258 bytes in 2 bits
	zstdRatio   = 1 << 15 // blocks of 128 KiB take 4 bytes
	// Brotli can hold 16 MiB in a few bytes, so its claims are not a bound;
	// memory is grown as data comes instead.
	brotliStep = 1 << 18
	// ratioSlack is granted beyond the ratios for headers and small pages.
	ratioSlack = 128 << 10
)

// ErrUnsupported is the error of a codec that the format knows and this package refuses.
var ErrUnsupported = errors.New("codec not supported")

// NewZstd returns a zstd decoder fit for a Decompressor. It starts no
// goroutines and may be shared by any number of Decompressors.
func NewZstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(metadata.MaxPageBytes+Padding))
}

// Decompressor uncompresses pages, one at a time. Its memory is reused.
type Decompressor struct {
	zstd   *zstd.Decoder
	gzip   *gzip.Reader
	brotli *brotli.Reader
	src    bytes.Reader
}

// New returns a Decompressor that uses a decoder of NewZstd.
func New(z *zstd.Decoder) *Decompressor { return &Decompressor{zstd: z} }

// Page uncompresses src, which must yield exactly size bytes, and returns them,
// in dst's memory if its capacity is at least size+Padding.
func (d *Decompressor) Page(codec format.CompressionCodec, dst, src []byte, size int) ([]byte, error) {
	if size > maxSize(codec, len(src)) {
		return nil, fmt.Errorf("%d bytes cannot come from %d by %v", size, len(src), codec)
	}
	if codec == format.Brotli {
		return d.pageBrotli(dst, src, size)
	}
	if cap(dst) < size+Padding {
		dst = make([]byte, size, size+Padding)
	}
	dst = dst[:size]
	var n int
	var err error
	switch codec {
	case format.Uncompressed:
		n = copy(dst, src)
		if len(src) > size {
			n = len(src)
		}
	case format.Zstd:
		var out []byte
		out, err = d.zstd.DecodeAll(src, dst[:0])
		n = len(out)
	case format.Snappy:
		if n, err = snappy.DecodedLen(src); err == nil && n == size {
			_, err = snappy.Decode(dst, src)
		}
	case format.Gzip:
		n, err = d.pageGzip(dst, src)
	case format.Lz4Raw:
		n, err = lz4.UncompressBlock(src, dst)
	case format.Lz4:
		n, err = pageHadoop(dst, src)
	default:
		return nil, fmt.Errorf("%v: %w", codec, ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", codec, err)
	}
	if n != size {
		return nil, fmt.Errorf("%v: page of %d bytes instead of %d", codec, n, size)
	}
	return dst, nil
}

// maxSize returns the most bytes that n compressed bytes can stand for.
func maxSize(codec format.CompressionCodec, n int) int {
	switch codec {
	case format.Uncompressed:
		return n
	case format.Snappy:
		return n*snappyRatio + ratioSlack
	case format.Lz4Raw, format.Lz4:
		return n*lz4Ratio + ratioSlack
	case format.Gzip:
		return n*gzipRatio + ratioSlack
	case format.Zstd:
		return n*zstdRatio + ratioSlack
	}
	return metadata.MaxPageBytes
}

func (d *Decompressor) pageGzip(dst, src []byte) (int, error) {
	d.src.Reset(src)
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	if err := d.gzip.Reset(&d.src); err != nil {
		return 0, err
	}
	return readExactly(d.gzip, dst)
}

// readExactly fills dst and makes sure that the stream ends there, which also
// makes its reader check its checksum. It returns len(dst)+1 if there is more.
func readExactly(r io.Reader, dst []byte) (int, error) {
	if n, err := io.ReadFull(r, dst); err != nil {
		return n, err
	}
	var more [1]byte
	switch n, err := r.Read(more[:]); {
	case n > 0:
		return len(dst) + 1, nil
	case err != nil && err != io.EOF:
		return 0, err
	}
	return len(dst), nil
}

func (d *Decompressor) pageBrotli(dst, src []byte, size int) ([]byte, error) {
	d.src.Reset(src)
	if d.brotli == nil {
		d.brotli = brotli.NewReader(&d.src)
	} else if err := d.brotli.Reset(&d.src); err != nil {
		return nil, fmt.Errorf("brotli: %w", err)
	}
	if dst = dst[:0]; cap(dst) < Padding {
		dst = make([]byte, 0, Padding) // for a page of nothing, too
	}
	for len(dst) < size {
		n := min(size-len(dst), max(brotliStep, len(dst)))
		if cap(dst) < len(dst)+n+Padding {
			grown := make([]byte, len(dst), len(dst)+n+Padding)
			copy(grown, dst)
			dst = grown
		}
		m, err := io.ReadFull(d.brotli, dst[len(dst):len(dst)+n])
		if err != nil {
			return nil, fmt.Errorf("brotli: page of %d bytes instead of %d: %w", len(dst)+m, size, err)
		}
		dst = dst[:len(dst)+n]
	}
	if n, err := readExactly(d.brotli, nil); err != nil || n != 0 {
		return nil, fmt.Errorf("brotli: page of more than %d bytes", size)
	}
	return dst, nil
}

// pageHadoop uncompresses the codec that metadata calls LZ4: frames of
// big-endian uncompressed and compressed size and a block. Some writers left
// the frames out, so what does not parse as frames is taken as one block.
func pageHadoop(dst, src []byte) (int, error) {
	n, remaining := 0, src
	for len(remaining) > 0 {
		if len(remaining) < 8 {
			return lz4.UncompressBlock(src, dst)
		}
		raw, size := binary.BigEndian.Uint32(remaining), binary.BigEndian.Uint32(remaining[4:])
		remaining = remaining[8:]
		if uint64(size) > uint64(len(remaining)) || uint64(raw) > uint64(len(dst)-n) {
			return lz4.UncompressBlock(src, dst)
		}
		m, err := lz4.UncompressBlock(remaining[:size], dst[n:n+int(raw)])
		if err != nil || m != int(raw) {
			return lz4.UncompressBlock(src, dst)
		}
		n += m
		remaining = remaining[size:]
	}
	return n, nil
}
