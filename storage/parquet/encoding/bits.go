package encoding

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// Bits decodes booleans.
type Bits struct {
	encoding format.Encoding
	data     []byte
	bit      int
	hybrid   Hybrid
}

// Reset makes b decode data.
func (b *Bits) Reset(encoding format.Encoding, data []byte) error {
	b.encoding, b.data, b.bit = encoding, data, 0
	switch encoding {
	case format.Plain:
		return nil
	case format.RLE:
		if len(data) < 4 {
			return errTruncated
		}
		n := binary.LittleEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			return errTruncated
		}
		return b.hybrid.Reset(data[4:4+n], 1)
	}
	return fmt.Errorf("%v of BOOLEAN values", encoding)
}

// Read appends the next n values to dst.
func (b *Bits) Read(dst *Bitmap, n int) error {
	if b.encoding == format.RLE {
		return b.hybrid.ReadBits(dst, n)
	}
	if n > len(b.data)*8-b.bit {
		return errTruncated
	}
	dst.Copy(b.data, b.bit, n)
	b.bit += n
	return nil
}
