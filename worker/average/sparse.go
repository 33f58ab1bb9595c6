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
	n := len(memory) / width
	head := (n + 7) / 8
	p.packed = slices.Grow(p.packed[:0], head+len(memory))[:head]
	clear(p.packed)
	for i := range n {
		if word := memory[i*width : (i+1)*width]; !isZero(word) {
			p.packed[i/8] |= 1 << (i % 8)
			p.packed = append(p.packed, word...)
		}
	}
	if len(p.packed) >= len(memory) {
		return memory
	}
	return p.packed
}

// unpack sets the memory of elements to those that packed, which is shorter, stands for.
// It reports whether it stands for so many.
func unpack(memory, packed []byte, width int) bool {
	n := len(memory) / width
	masked := (n + 7) / 8
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
			i := k*8 + bits.TrailingZeros8(m)
			copy(memory[i*width:(i+1)*width], words)
			words = words[width:]
		}
	}
	return true
}
