package encoding

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

// Bytes decodes byte arrays.
type Bytes struct {
	encoding format.Encoding
	data     []byte // PLAIN: the rest; delta: the bytes of the values to come
	lengths  Delta
	prefixes Delta
	last     []byte // the value before, for DELTA_BYTE_ARRAY
	step     [fixedStep]int64
	shared   [fixedStep]int64
}

// Begin forgets the column chunk before. Within a chunk the first value of a
// DELTA_BYTE_ARRAY page may share bytes with the last one of the page before:
// by the format it must not, but there are writers that let it.
func (b *Bytes) Begin() { b.last = b.last[:0] }

// Fits reports whether so many PLAIN values can lie in so many bytes.
func (b *Bytes) Fits(values, bytes int) bool { return values <= bytes/4 }

// Reset makes b decode data, another page of the chunk.
func (b *Bytes) Reset(encoding format.Encoding, data []byte) error {
	b.encoding, b.data = encoding, data
	switch encoding {
	case format.Plain:
		return nil
	case format.DeltaLengthByteArray:
		return b.resetLengths(data)
	case format.DeltaByteArray:
		if err := b.prefixes.Reset(data); err != nil {
			return err
		}
		rest, err := b.prefixes.After()
		if err != nil {
			return err
		}
		if err := b.resetLengths(rest); err != nil {
			return err
		}
		if b.prefixes.Total() != b.lengths.Total() {
			return errDeltaCount
		}
		return nil
	}
	return fmt.Errorf("%v of BYTE_ARRAY values", encoding)
}

func (b *Bytes) resetLengths(data []byte) error {
	err := b.lengths.Reset(data)
	if err == nil {
		b.data, err = b.lengths.After()
	}
	return err
}

// Append decodes n values, appends their bytes to data and writes where each
// ends in it to ends. It fails with ErrTooLarge, before it allocates, if data
// would exceed limit bytes.
func (b *Bytes) Append(n int, data []byte, ends []int32, limit int) ([]byte, error) {
	limit = min(limit, math.MaxInt32)
	if b.encoding == format.Plain {
		return b.appendPlain(data, ends[:n], limit)
	}
	for n > 0 {
		m := min(n, len(b.step))
		if err := b.lengths.Read(b.step[:m]); err != nil {
			return nil, err
		}
		var err error
		if b.encoding == format.DeltaLengthByteArray {
			data, err = b.appendLengths(data, ends[:m], limit)
		} else {
			data, err = b.appendShared(data, ends[:m], limit)
		}
		if err != nil {
			return nil, err
		}
		ends = ends[m:]
		n -= m
	}
	return data, nil
}

func (b *Bytes) appendPlain(data []byte, ends []int32, limit int) ([]byte, error) {
	rest := b.data
	for i := range ends {
		if len(rest) < 4 {
			return nil, errTruncated
		}
		size := int(binary.LittleEndian.Uint32(rest))
		if size > len(rest)-4 {
			return nil, errTruncated
		}
		if size > limit-len(data) {
			return nil, ErrTooLarge
		}
		data = append(data, rest[4:4+size]...)
		ends[i] = int32(len(data))
		rest = rest[4+size:]
	}
	b.data = rest
	return data, nil
}

// appendLengths is DELTA_LENGTH_BYTE_ARRAY: lengths first, then all bytes.
func (b *Bytes) appendLengths(data []byte, ends []int32, limit int) ([]byte, error) {
	total := 0
	for i, size := range b.step[:len(ends)] {
		if size < 0 || size > int64(len(b.data)-total) {
			return nil, errTruncated
		}
		total += int(size)
		if total > limit-len(data) {
			return nil, ErrTooLarge
		}
		ends[i] = int32(len(data) + total)
	}
	data = append(data, b.data[:total]...)
	b.data = b.data[total:]
	return data, nil
}

// appendShared is DELTA_BYTE_ARRAY: each value is so many bytes of the one
// before and a suffix.
func (b *Bytes) appendShared(data []byte, ends []int32, limit int) ([]byte, error) {
	if err := b.prefixes.Read(b.shared[:len(ends)]); err != nil {
		return nil, err
	}
	for i, size := range b.step[:len(ends)] {
		prefix := b.shared[i]
		switch {
		case prefix < 0 || prefix > int64(len(b.last)):
			return nil, fmt.Errorf("a value shares %d bytes with one of %d", prefix, len(b.last))
		case size < 0 || size > int64(len(b.data)):
			return nil, errTruncated
		case int(prefix+size) > limit-len(data):
			return nil, ErrTooLarge
		}
		b.last = append(b.last[:prefix], b.data[:size]...)
		b.data = b.data[size:]
		data = append(data, b.last...)
		ends[i] = int32(len(data))
	}
	return data, nil
}
