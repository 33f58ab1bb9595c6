package kernel

// AppendFloats appends the elements of v to dst, little endian.
func AppendFloats(dst []byte, v []float32) []byte {
	return append(dst, Vector{Float32: v}.Bytes()...)
}

// DecodeFloats sets dst to the elements that AppendFloats wrote to v, which may be
// longer.
func DecodeFloats(dst []float32, v []byte) {
	copy(Vector{Float32: dst}.Bytes(), v[:4*len(dst)])
}
