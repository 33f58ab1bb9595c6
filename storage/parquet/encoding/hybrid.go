package encoding

import (
	"encoding/binary"
	"math"
)

// Hybrid decodes the mixture of run-length and bit-packed runs that carries
// dictionary indices, levels and some booleans.
type Hybrid struct {
	remaining []byte // after the current run
	width     uint

	repeat int // values left in a run of one value
	value  uint32

	packed int // values left in a bit-packed run
	bits   []byte
	bit    int // where the next packed value begins in bits
}

// Reset makes h decode data, of values of width bits.
func (h *Hybrid) Reset(data []byte, width uint) error {
	*h = Hybrid{remaining: data, width: width}
	if width > 32 {
		return errBitWidth
	}
	return nil
}

// next loads the next run, which holds at least one value.
func (h *Hybrid) next() error {
	for {
		var header uint64
		n := 1
		if len(h.remaining) > 0 && h.remaining[0] < 0x80 {
			header = uint64(h.remaining[0]) // most runs are short
		} else if header, n = binary.Uvarint(h.remaining); n <= 0 {
			return errTruncated
		}
		h.remaining = h.remaining[n:]
		count := header >> 1
		if header&1 == 0 {
			size := int(h.width+7) / 8
			if size > len(h.remaining) {
				return errTruncated
			}
			h.value = 0
			for i, b := range h.remaining[:size] {
				h.value |= uint32(b) << (8 * i)
			}
			h.remaining = h.remaining[size:]
			h.repeat = int(min(count, math.MaxInt32))
		} else {
			// Groups of eight. Some writers cut the last one short, so what is
			// there counts; whether it suffices shows when values are asked for.
			if h.width > 0 {
				count = min(count, uint64(len(h.remaining)))
			}
			count = min(count, math.MaxInt32/8)
			size := min(int(count)*int(h.width), len(h.remaining))
			h.packed = int(count) * 8
			if h.width > 0 {
				h.packed = min(h.packed, size*8/int(h.width))
			}
			h.bits, h.bit = h.remaining, 0
			h.remaining = h.remaining[size:]
		}
		if h.repeat > 0 || h.packed > 0 {
			return nil
		}
	}
}

// Read decodes len(dst) values.
func (h *Hybrid) Read(dst []uint32) error {
	for len(dst) > 0 {
		switch {
		case h.repeat > 0:
			n := min(h.repeat, len(dst))
			fill(dst[:n], h.value)
			h.repeat -= n
			dst = dst[n:]
		case h.packed > 0:
			n := min(h.packed, len(dst))
			Unpack(dst[:n], h.bits, h.bit, h.width)
			h.bit += n * int(h.width)
			h.packed -= n
			dst = dst[n:]
		default:
			if err := h.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadBits decodes n values of width 1 and appends them to b.
func (h *Hybrid) ReadBits(b *Bitmap, n int) error {
	for n > 0 {
		switch {
		case h.repeat > 0:
			m := min(h.repeat, n)
			if h.value > 1 {
				return errBitWidth
			}
			b.Repeat(h.value == 1, m)
			h.repeat -= m
			n -= m
		case h.packed > 0:
			m := min(h.packed, n)
			b.Copy(h.bits, h.bit, m)
			h.bit += m
			h.packed -= m
			n -= m
		default:
			if err := h.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill sets every element of dst to v.
func fill(dst []uint32, v uint32) {
	for i := range dst {
		dst[i] = v
	}
}
