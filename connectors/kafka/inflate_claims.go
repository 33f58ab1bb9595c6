package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// Two codecs take memory on a batch's own word before a byte is inflated:
// snappy for a block, zstd for a window. The word of a hostile one is gigabytes.

// xerial begins the framing in which Java producers put snappy blocks; two
// versions of four bytes each follow.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// snappyClaims returns the largest block that a snappy batch says it holds.
func snappyClaims(data []byte) uint64 {
	if !bytes.HasPrefix(data, xerial) {
		n, _ := binary.Uvarint(data)
		return n
	}
	most := uint64(0)
	for data = data[min(len(data), len(xerial)+8):]; len(data) > 4; {
		size := int64(binary.BigEndian.Uint32(data))
		n, _ := binary.Uvarint(data[4:])
		most = max(most, n)
		data = data[min(int64(len(data)), 4+size):]
	}
	return most
}

// minWindow is the window that every decoder of zstd must have (RFC 8878).
const minWindow = 8 << 20

// stream returns a reader of the bytes that a batch inflates to.
func (f *inflater) stream(codec, limit int) (io.ReadCloser, error) {
	if compress.Compression(codec) != compress.Zstd {
		return compress.Codecs[codec].NewReader(&f.src), nil
	}
	if z, ok := f.pool.decoders.Get().(*zstdStream); ok && z.limit == limit {
		return z, z.decoder.Reset(&f.src)
	}
	d, err := zstd.NewReader(&f.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(max(limit, minWindow))))
	return &zstdStream{d, f.pool, limit}, err
}

// zstdStream is a decoder that goes back to the pool.
type zstdStream struct {
	decoder *zstd.Decoder
	pool    *Pool
	limit   int
}

func (z *zstdStream) Read(p []byte) (int, error) { return z.decoder.Read(p) }

// Close gives the decoder back.
func (z *zstdStream) Close() error {
	err := z.decoder.Reset(nil)
	z.pool.decoders.Put(z)
	return err
}

// exceedsWindow reports that a stream needs more memory than it may have.
func exceedsWindow(err error) bool { return errors.Is(err, zstd.ErrWindowSizeExceeded) }
