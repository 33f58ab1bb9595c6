package kernel

// Reduction is how the vectors of several replicas become one.
type Reduction uint8

// The reductions. The numbers travel between workers.
const (
	// NoVector: there is nothing to reduce.
	NoVector Reduction = iota
	// WeightedMean is the mean of float32s: the weighted elements are added up in
	// replica order, in float64, divided by the sum of the weights, and rounded.
	WeightedMean
	// SumFloat64 adds up float64s in replica order.
	SumFloat64
	// SumInt64 adds up int64s. A sum that overflows wraps.
	SumInt64
)

// Vector returns n zeros of the type that r reduces.
func (r Reduction) Vector(n int) Vector {
	switch r {
	case WeightedMean:
		return Vector{Float32: make([]float32, n)}
	case SumFloat64:
		return Vector{Float64: make([]float64, n)}
	case SumInt64:
		return Vector{Int64: make([]int64, n)}
	}
	return Vector{}
}

// Vector is what a replica gives to a reduction, or what comes of it: elements
// of one type. The other slices are nil.
type Vector struct {
	Float32 []float32
	Float64 []float64
	Int64   []int64
}

// Reduction returns the reduction that v is for.
func (v Vector) Reduction() Reduction {
	switch {
	case v.Float32 != nil:
		return WeightedMean
	case v.Float64 != nil:
		return SumFloat64
	case v.Int64 != nil:
		return SumInt64
	}
	return NoVector
}

// Len returns the count of v's elements.
func (v Vector) Len() int { return len(v.Float32) + len(v.Float64) + len(v.Int64) }

// Slice returns elements [from, to), which v shares.
func (v Vector) Slice(from, to int) Vector {
	switch v.Reduction() {
	case WeightedMean:
		v.Float32 = v.Float32[from:to:to]
	case SumFloat64:
		v.Float64 = v.Float64[from:to:to]
	case SumInt64:
		v.Int64 = v.Int64[from:to:to]
	}
	return v
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

// Sums reduces one stretch of vectors, added in replica order.
type Sums struct {
	reduction Reduction
	floats    []float64
	ints      []int64
}

// NewSums returns Sums for at most n elements.
func NewSums(r Reduction, n int) *Sums {
	if r == SumInt64 {
		return &Sums{reduction: r, ints: make([]int64, n)}
	}
	return &Sums{reduction: r, floats: make([]float64, n)}
}

// Reset makes s the sums of n elements, all 0.
func (s *Sums) Reset(n int) {
	if s.reduction == SumInt64 {
		s.ints = s.ints[:n]
	} else {
		s.floats = s.floats[:n]
	}
	clear(s.ints)
	clear(s.floats)
}

// Add adds a vector of the reduction's type.
func (s *Sums) Add(v Vector, weight float64) {
	if v.Reduction() != s.reduction {
		panic("kernel: a vector of another reduction")
	}
	switch s.reduction {
	case WeightedMean:
		Accumulate(s.floats, v.Float32, weight)
	case SumFloat64:
		checkLen(len(s.floats), len(v.Float64))
		for i, x := range v.Float64 {
			s.floats[i] += x
		}
	case SumInt64:
		checkLen(len(s.ints), len(v.Int64))
		for i, x := range v.Int64 {
			s.ints[i] += x
		}
	}
}

// Result sets dst to what was reduced. total is the sum of the weights.
func (s *Sums) Result(dst Vector, total float64) {
	switch s.reduction {
	case WeightedMean:
		Narrow(dst.Float32, s.floats, 1/total)
	case SumFloat64:
		copy(dst.Float64, s.floats)
	case SumInt64:
		copy(dst.Int64, s.ints)
	}
}
