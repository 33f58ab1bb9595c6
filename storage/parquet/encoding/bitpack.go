package encoding

import "github.com/parquet-go/bitpack"

// unpackPadding is how far past the bits it needs the vectorised unpacker may
// read.
const unpackPadding = max(bitpack.PaddingInt32, bitpack.PaddingInt64)

// Unpack unpacks len(dst) values of width bits each, least significant bit
// first, beginning at bit start of src:
//
//	dst[i] = src's bits [start+i*width, start+(i+1)*width)
//
// width is at most that of T. The caller guarantees that src holds the bits;
// nothing past src is read. It is fastest where src goes on for unpackPadding
// bytes.
func Unpack[T uint32 | uint64](dst []T, src []byte, start int, width uint) {
	if width == 0 {
		clear(dst)
		return
	}
	// One by one up to a byte boundary, and at the end of src.
	i := 0
	for ; i < len(dst) && start&7 != 0; i++ {
		dst[i] = T(unpackOne(src, start, width))
		start += int(width)
	}
	if n := min(len(dst)-i, (len(src)-start>>3-unpackPadding)*8/int(width)); n > 0 {
		bitpack.Unpack(dst[i:i+n], src[start>>3:], width)
		start += n * int(width)
		i += n
	}
	for ; i < len(dst); i++ {
		dst[i] = T(unpackOne(src, start, width))
		start += int(width)
	}
}

// unpackOne reads one value at a bit offset, byte by byte.
func unpackOne(src []byte, bit int, width uint) uint64 {
	// Nine bytes may be touched: the low eight, and what is above them.
	var low, high uint64
	for i, b := range src[bit>>3 : (bit+int(width)+7)>>3] {
		if i < 8 {
			low |= uint64(b) << (8 * i)
		} else {
			high = uint64(b)
		}
	}
	v := low >> (bit & 7)
	if bit&7 != 0 {
		v |= high << (64 - bit&7)
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}
