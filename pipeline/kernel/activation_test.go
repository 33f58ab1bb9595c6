package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestActivationsHaveTheBitsOfPlainGo, NaN and zeros of either sign included.
func TestActivationsHaveTheBitsOfPlainGo(t *testing.T) {
	have := avx2
	defer func() { avx2 = have }()
	for n := range 40 {
		var results [2][]uint32
		for path := range results {
			avx2 = have && path > 0
			random := rand.New(rand.NewPCG(uint64(n), 4))
			d, z, s := hardFloats(random, n), hardFloats(random, n), make([]float32, n)
			note := func(v []float32) {
				for _, f := range v {
					if f != f {
						f = float32(math.NaN())
					}
					results[path] = append(results[path], math.Float32bits(f))
				}
			}
			for _, f := range []func(dst []float32){
				func(dst []float32) { Relu(dst, z) }, func(dst []float32) { ReluSlope(dst, d, z) },
				func(dst []float32) { Tanh(dst, z) }, func(dst []float32) { TanhSlope(dst, d, z) },
				func(dst []float32) { GELU(dst, z, s) }, func(dst []float32) { GELUSlope(dst, d, s, z) },
				func(dst []float32) { SigmoidSlope(dst, d, z) }, func(dst []float32) { Multiply(dst, d, z) },
				func(dst []float32) { Drop(dst, math.MaxUint64-uint64(n), uint64(4*n), 58982, 1.1) },
				func(dst []float32) { Drop(dst, 3, math.MaxUint64-31, 1, 2) }, func(dst []float32) { Drop(dst, 4, 0, 1<<16, 2) },
				func(dst []float32) { AddColumns(dst, slices.Concat(d, z, z, d, z)) },
			} {
				dst := make([]float32, n)
				f(dst)
				note(dst)
			}
		}
		for i, want := range results[0] {
			if got := results[1][i]; got != want {
				t.Fatalf("n=%d: result %d is %v with AVX2, in plain Go %v", n, i, math.Float32frombits(got), math.Float32frombits(want))
			}
		}
	}
}
