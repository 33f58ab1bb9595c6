package kernel

import (
	"encoding/binary"
	"math"
	"slices"
)

// AppendFloats appends the elements of v to dst, little endian.
func AppendFloats(dst []byte, v []float32) []byte {
	from := len(dst)
	dst = slices.Grow(dst, 4*len(v))[:from+4*len(v)]
	out := dst[from:]
	// Four at a time: one check of bounds instead of eight.
	for ; len(v) >= 4; out, v = out[16:], v[4:] {
		o, x := (*[16]byte)(out), (*[4]float32)(v)
		binary.LittleEndian.PutUint32(o[0:], math.Float32bits(x[0]))
		binary.LittleEndian.PutUint32(o[4:], math.Float32bits(x[1]))
		binary.LittleEndian.PutUint32(o[8:], math.Float32bits(x[2]))
		binary.LittleEndian.PutUint32(o[12:], math.Float32bits(x[3]))
	}
	for i, x := range v {
		binary.LittleEndian.PutUint32(out[4*i:4*i+4], math.Float32bits(x))
	}
	return dst
}

// DecodeFloats sets dst to the elements that AppendFloats wrote to v, which may be
// longer.
func DecodeFloats(dst []float32, v []byte) {
	v = v[:4*len(dst)]
	for ; len(dst) >= 4; v, dst = v[16:], dst[4:] {
		o, x := (*[16]byte)(v), (*[4]float32)(dst)
		x[0] = math.Float32frombits(binary.LittleEndian.Uint32(o[0:]))
		x[1] = math.Float32frombits(binary.LittleEndian.Uint32(o[4:]))
		x[2] = math.Float32frombits(binary.LittleEndian.Uint32(o[8:]))
		x[3] = math.Float32frombits(binary.LittleEndian.Uint32(o[12:]))
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(v[4*i : 4*i+4]))
	}
}
