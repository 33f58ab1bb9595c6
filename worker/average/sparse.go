package average

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Vectors are looked at for zeros by samples, so that dense ones cost nothing more: of
// each so many elements the first few, at up to so many places. The distance is odd, so
// that of the rows of a table all columns are looked at.
const sampleEvery, sampled, maxSamples = 4093, 16, 256

// isSparse reports whether most elements seem to be zero. It has no influence on what is
// received.
func isSparse(entries []entry) bool {
	zeros, all := 0, 0
	for _, e := range entries {
		for at := 0; at < e.vector.Len(); at += max(sampleEvery, e.vector.Len()/maxSamples|1) {
			part := e.vector.Slice(at, min(at+sampled, e.vector.Len())).Bytes()
			width := elementOf(e.vector).width()
			all += len(part) / width
			for word := range slices.Chunk(part, width) {
				if isZero(word) {
					zeros++
				}
			}
		}
	}
	return all >= 4*sampled && 2*zeros > all
}

// isZero reports whether all bits of an element are zero: -0 is none.
func isZero(word []byte) bool {
	if len(word) == 4 {
		return binary.LittleEndian.Uint32(word) == 0
	}
	return binary.LittleEndian.Uint64(word) == 0
}

// packer has the memory for what a sparse body has of elements.
type packer struct{ packed []byte }

// pack returns what stands for elements, given by their memory. It is valid until the next
// call.
func (p *packer) pack(memory []byte, width int) []byte {
	masked := maskBytes(memory, width)
	p.packed = slices.Grow(p.packed[:0], masked+len(memory))[:masked+len(memory)]
	mask, words, used := p.packed[:masked], p.packed[masked:], 0
	for k := range mask {
		eight := memory[8*k*width : min(8*(k+1)*width, len(memory))]
		if mask[k] = 0; len(eight) >= 32 && allZero(eight[:32]) && (len(eight) == 32 || allZero(eight[len(eight)-32:])) {
			continue
		}
		// No branch is to be guessed: what is zero is written too, and the next over it.
		var places uint64
		if width == 4 {
			for i := 0; i < len(eight); i += 4 {
				word := binary.LittleEndian.Uint32(eight[i:])
				binary.LittleEndian.PutUint32(words[used:], word)
				set := (word | -word) >> 31 // 1 for what is not zero
				places |= uint64(set) << (i / 4)
				used += int(set) * 4
			}
		} else {
			for i := 0; i < len(eight); i += 8 {
				word := binary.LittleEndian.Uint64(eight[i:])
				binary.LittleEndian.PutUint64(words[used:], word)
				set := (word | -word) >> 63
				places |= set << (i / 8)
				used += int(set) * 8
			}
		}
		mask[k] = byte(places)
	}
	if masked+used >= len(memory) {
		return memory
	}
	return p.packed[:masked+used]
}

// maskBytes returns how many bytes have a bit for each element.
func maskBytes(memory []byte, width int) int { return (len(memory)/width + 7) / 8 }

// allZero reports whether 32 bytes are zero.
func allZero(b []byte) bool {
	_ = b[31]
	return binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]) == 0
}

// unpack sets the memory of elements to those that packed, which is shorter, stands for.
// It reports whether it stands for so many.
func unpack(memory, packed []byte, width int) bool {
	n, masked := len(memory)/width, maskBytes(memory, width)
	if len(packed) < masked {
		return false
	}
	mask, words := packed[:masked], packed[masked:]
	set := 0
	for _, m := range mask {
		set += bits.OnesCount8(m)
	}
	if set*width != len(words) || n%8 > 0 && mask[masked-1]>>(n%8) != 0 {
		return false
	}
	clear(memory)
	for k, m := range mask {
		for ; m != 0; m &= m - 1 {
			i := (k*8 + bits.TrailingZeros8(m)) * width
			if width == 4 {
				binary.LittleEndian.PutUint32(memory[i:], binary.LittleEndian.Uint32(words))
			} else {
				binary.LittleEndian.PutUint64(memory[i:], binary.LittleEndian.Uint64(words))
			}
			words = words[width:]
		}
	}
	return true
}
