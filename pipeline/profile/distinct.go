package profile

import (
	"math"
	"math/bits"
)

// precision is the bits of a hash that choose a register: the standard error of an
// estimate is 1.04 / sqrt(2^14), 0.8 %.
const (
	precision = 14
	registers = 1 << precision
	most      = 64 - precision + 1
)

// distinct is a HyperLogLog: of each of 2^14 parts of the hashes, the most zeros that one
// began with. It is the same bytes for the same hashes in whatever order.
type distinct [registers]uint8

func (d *distinct) add(hash uint64) {
	zeros := uint8(bits.LeadingZeros64(hash<<precision|1<<(precision-1))) + 1
	if at := &d[hash>>(64-precision)]; zeros > *at {
		*at = zeros
	}
}

func (d *distinct) merge(o *distinct) {
	for i, zeros := range o {
		d[i] = max(d[i], zeros)
	}
}

// estimate returns about how many different hashes were added, by the improved raw
// estimator of Ertl (2017, "New cardinality estimation algorithms for HyperLogLog
// sketches"), which needs no table of corrections.
func (d *distinct) estimate() int64 {
	var count [most + 1]float64
	for _, zeros := range d {
		count[zeros]++
	}
	z := float64(registers * tau(1-float64(count[most]/registers)))
	for k := most - 1; k >= 1; k-- {
		z = float64(0.5 * (z + count[k]))
	}
	z += float64(registers * sigma(count[0]/registers))
	return int64(math.Round(registers * registers / (2 * math.Ln2 * z)))
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	z := x
	for y, last := 1.0, -1.0; z != last; y += y {
		last = z
		x *= x
		z += float64(x * y)
	}
	return z
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	z := 1 - x
	for y, last := 1.0, -1.0; z != last; {
		last = z
		x = math.Sqrt(x)
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
	}
	return z / 3
}
