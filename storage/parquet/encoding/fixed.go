package encoding

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/parquet-go/parquet-go/format"
)

// fixedStep is the values of an intermediate form decoded at a time; their
// memory is part of the decoder.
const fixedStep = 256

// Fixed decodes values of one width in bytes: all physical types but booleans
// and byte arrays.
type Fixed struct {
	Physical format.Type
	Width    int

	encoding format.Encoding
	data     []byte
	pos      int // PLAIN: bytes consumed; BYTE_STREAM_SPLIT: values consumed

	delta  Delta
	bytes  Bytes
	step   [fixedStep]int64
	buffer []byte
	ends   [fixedStep]int32
}

// Begin forgets the column chunk before, see Bytes.Begin.
func (f *Fixed) Begin() { f.bytes.Begin() }

// Fits reports whether so many PLAIN values can lie in so many bytes.
func (f *Fixed) Fits(values, bytes int) bool { return values <= bytes/f.Width }

// Reset makes f decode data.
func (f *Fixed) Reset(encoding format.Encoding, data []byte) error {
	f.encoding, f.data, f.pos = encoding, data, 0
	integer := f.Physical == format.Int32 || f.Physical == format.Int64
	switch {
	case encoding == format.Plain:
		return nil
	case encoding == format.ByteStreamSplit && f.Physical != format.Int96:
		if len(data)%f.Width != 0 {
			return fmt.Errorf("%d bytes of values of %d each", len(data), f.Width)
		}
		return nil
	case encoding == format.DeltaBinaryPacked && integer:
		return f.delta.Reset(data)
	case encoding == format.DeltaByteArray && f.Physical == format.FixedLenByteArray:
		return f.bytes.Reset(encoding, data)
	}
	return fmt.Errorf("%v of %v values", encoding, f.Physical)
}

// Read decodes n values into dst, which has n times the width in bytes.
func (f *Fixed) Read(dst []byte, n int) error {
	switch f.encoding {
	case format.Plain:
		if n > (len(f.data)-f.pos)/f.Width {
			return errTruncated
		}
		f.pos += copy(dst[:n*f.Width], f.data[f.pos:])
		return nil
	case format.ByteStreamSplit:
		return f.readSplit(dst, n)
	case format.DeltaBinaryPacked:
		return f.readDelta(dst, n)
	}
	return f.readBytes(dst, n)
}

// readSplit gathers the bytes of each value from their streams: byte j of value
// i is at j*count+i.
func (f *Fixed) readSplit(dst []byte, n int) error {
	count := len(f.data) / f.Width
	if n > count-f.pos {
		return errTruncated
	}
	for j := range f.Width {
		stream := f.data[j*count+f.pos:][:n]
		out := dst[j:]
		for i, b := range stream {
			out[i*f.Width] = b
		}
	}
	f.pos += n
	return nil
}

func (f *Fixed) readDelta(dst []byte, n int) error {
	if f.Width == 8 && n > 0 {
		return f.delta.Read(Words[int64](dst)[:n])
	}
	for n > 0 {
		step := f.step[:min(n, len(f.step))]
		if err := f.delta.Read(step); err != nil {
			return err
		}
		for i, v := range step {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(v))
		}
		dst = dst[4*len(step):]
		n -= len(step)
	}
	return nil
}

func (f *Fixed) readBytes(dst []byte, n int) error {
	for n > 0 {
		m := min(n, len(f.ends))
		var err error
		if f.buffer, err = f.bytes.Append(m, f.buffer[:0], f.ends[:m], m*f.Width); err != nil {
			return err
		}
		for i, end := range f.ends[:m] {
			if int(end) != (i+1)*f.Width {
				return fmt.Errorf("value that is not of %d bytes", f.Width)
			}
		}
		copy(dst, f.buffer)
		dst = dst[m*f.Width:]
		n -= m
	}
	return nil
}

// Words views bytes as little-endian numbers; the length is that of whole
// numbers in b.
func Words[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64](b []byte) []T {
	var t T
	n := len(b) / int(unsafe.Sizeof(t))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}
