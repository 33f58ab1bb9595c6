package kernel

import "unsafe"

// Vector is what replicas contribute to be reduced to one, or what comes of it.
// Its elements are of one type, which says how they are reduced; the other slices
// are nil.
type Vector struct {
	// Float32 are reduced to their weighted mean: the weighted elements are added
	// up in replica order, in float64, divided by the sum of the weights, and rounded.
	Float32 []float32
	// Float64 are added up in replica order.
	Float64 []float64
	// Int64 are added up. A sum that overflows wraps.
	Int64 []int64
}

// Zeros returns n zeros of v's type.
func (v Vector) Zeros(n int) Vector {
	switch {
	case v.Float32 != nil:
		return Vector{Float32: make([]float32, n)}
	case v.Float64 != nil:
		return Vector{Float64: make([]float64, n)}
	case v.Int64 != nil:
		return Vector{Int64: make([]int64, n)}
	}
	return Vector{}
}

// Len returns the count of v's elements.
func (v Vector) Len() int { return len(v.Float32) + len(v.Float64) + len(v.Int64) }

// Slice returns elements [from, to), which v shares.
func (v Vector) Slice(from, to int) Vector {
	switch {
	case v.Float32 != nil:
		v.Float32 = v.Float32[from:to:to]
	case v.Float64 != nil:
		v.Float64 = v.Float64[from:to:to]
	case v.Int64 != nil:
		v.Int64 = v.Int64[from:to:to]
	}
	return v
}

// Bytes returns the memory of v's elements: little endian, as on all processors that
// there are builds for.
func (v Vector) Bytes() []byte {
	switch {
	case len(v.Float32) > 0:
		return unsafe.Slice((*byte)(unsafe.Pointer(&v.Float32[0])), 4*len(v.Float32))
	case len(v.Float64) > 0:
		return unsafe.Slice((*byte)(unsafe.Pointer(&v.Float64[0])), 8*len(v.Float64))
	case len(v.Int64) > 0:
		return unsafe.Slice((*byte)(unsafe.Pointer(&v.Int64[0])), 8*len(v.Int64))
	}
	return nil
}

// Finite returns the index of the first element that is NaN or infinite, or -1.
func (v Vector) Finite() int {
	for i, x := range v.Float64 {
		if x-x != 0 {
			return i
		}
	}
	return Finite(v.Float32)
}
