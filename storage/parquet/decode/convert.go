package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/float16"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// convert turns len(dst)/out values as stored into values as Arrow has them.
type convert func(dst, src []byte) error

// converter returns the conversion from a leaf of fixed width to an Arrow type,
// nil if values are the same in both.
func converter(n *metadata.Node, t arrow.DataType) convert {
	switch t.(type) {
	case *arrow.Int8Type:
		return narrow[int8]
	case *arrow.Uint8Type:
		return narrow[uint8]
	case *arrow.Int16Type:
		return narrow[int16]
	case *arrow.Uint16Type:
		return narrow[uint16]
	case *arrow.Decimal128Type:
		return decimals(n, 16)
	case *arrow.Decimal256Type:
		return decimals(n, 32)
	case *arrow.Float32Type:
		if n.Physical == format.FixedLenByteArray {
			return halves
		}
	case *arrow.TimestampType:
		if n.Physical == format.Int96 {
			return int96Micros
		}
	}
	return nil
}

// narrow keeps the low bits of 32-bit integers that must fit them. Unsigned
// ones are stored as the signed integers of the same bits.
func narrow[T int8 | uint8 | int16 | uint16](dst, src []byte) error {
	out := encoding.Words[T](dst)
	for i, v := range encoding.Words[int32](src) {
		out[i] = T(v)
		if int32(out[i]) != v {
			return fmt.Errorf("value %d does not fit %T", v, out[i])
		}
	}
	return nil
}

// halves widens IEEE half-precision numbers.
func halves(dst, src []byte) error {
	out := encoding.Words[float32](dst)
	for i := range out {
		out[i] = float16.FromLEBytes(src[2*i:]).Float32()
	}
	return nil
}

// int96Micros turns the timestamps of older writers, eight bytes of nanoseconds
// within the day and four of the Julian day, into microseconds since 1970.
func int96Micros(dst, src []byte) error {
	const (
		epoch        = 2_440_588 // the Julian day of 1970-01-01
		microsPerDay = 86_400_000_000
		maxDays      = math.MaxInt64/microsPerDay - 1
	)
	out := encoding.Words[int64](dst)
	for i := range out {
		v := src[12*i:]
		day := int64(binary.LittleEndian.Uint32(v[8:])) - epoch
		nanos := int64(binary.LittleEndian.Uint64(v))
		if day > maxDays || nanos < 0 || nanos >= 2*microsPerDay*1000 {
			return fmt.Errorf("timestamp of %d ns into day %d is out of range", nanos, day)
		}
		out[i] = day*microsPerDay + nanos/1000
	}
	return nil
}

var errWideDecimal = errors.New("decimal exceeds its type's width")

// decimals converts to little-endian two's complement of so many bytes.
func decimals(n *metadata.Node, out int) convert {
	in := width(n)
	switch n.Physical {
	case format.Int32, format.Int64:
		return func(dst, src []byte) error {
			for len(src) >= in {
				copy(dst, src[:in])
				extend(dst[in:out], src[in-1])
				dst, src = dst[out:], src[in:]
			}
			return nil
		}
	}
	return func(dst, src []byte) error {
		for len(src) >= in {
			if err := bigEndian(dst[:out], src[:in]); err != nil {
				return err
			}
			dst, src = dst[out:], src[in:]
		}
		return nil
	}
}

// bigEndian reverses two's complement src, of any length, into dst.
func bigEndian(dst, src []byte) error {
	if len(src) == 0 {
		clear(dst)
		return nil
	}
	top := src[0]
	for len(src) > len(dst) {
		// Bytes too many must only repeat the sign.
		if src[0] != byte(int8(top)>>7) || (src[0]^src[1])&0x80 != 0 {
			return errWideDecimal
		}
		src = src[1:]
	}
	for i, b := range src {
		dst[len(src)-1-i] = b
	}
	extend(dst[len(src):], top)
	return nil
}

// extend fills dst with the sign of the number whose highest byte is top.
func extend(dst []byte, top byte) {
	for i := range dst {
		dst[i] = byte(int8(top) >> 7)
	}
}

// appendUUID appends the text of a UUID: 8-4-4-4-12 hex digits.
func appendUUID(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	for i, b := range v {
		switch i {
		case 4, 6, 8, 10:
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}
