package encoding

import "github.com/parquet-go/bitpack"

// unpackPadding is how far past the bits it needs the vectorised unpacker may
// read.
const unpackPadding = bitpack.PaddingInt32

// Unpack unpacks len(dst) values of width bits each, least significant bit
// first, beginning at bit start of src:
//
//	dst[i] = src's bits [start+i*width, start+(i+1)*width)
//
// width is at most 32. The caller guarantees that src holds the bits; nothing
// past src is read. It is fastest where src goes on for unpackPadding bytes.
func Unpack(dst []uint32, src []byte, start int, width uint) {
	if width == 0 {
		clear(dst)
		return
	}
	// One by one up to a byte boundary, and at the end of src.
	i := 0
	for ; i < len(dst) && start&7 != 0; i++ {
		dst[i] = unpackOne(src, start, width)
		start += int(width)
	}
	if n := min(len(dst)-i, (len(src)-start>>3-unpackPadding)*8/int(width)); n > 0 {
		bitpack.Unpack(dst[i:i+n], src[start>>3:], width)
		start += n * int(width)
		i += n
	}
	for ; i < len(dst); i++ {
		dst[i] = unpackOne(src, start, width)
		start += int(width)
	}
}

// unpackOne reads one value at a bit offset, byte by byte.
func unpackOne(src []byte, bit int, width uint) uint32 {
	var v uint64
	for i, b := range src[bit>>3 : (bit+int(width)+7)>>3] {
		v |= uint64(b) << (8 * i)
	}
	return uint32(v>>(bit&7)) & uint32(1<<width-1)
}
