package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// hardFloats are normal values and those that instructions treat in their own ways.
func hardFloats(random *rand.Rand, n int) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-45, -1e-40,
		math.MaxFloat32, 87, -87, 87.00001, -88, 200, -200, 1, 0.5}
	v := make([]float32, n)
	for i := range v {
		if v[i] = float32(random.NormFloat64() * 4); random.IntN(20) == 0 {
			v[i] = special[random.IntN(len(special))]
		}
	}
	return v
}

// hardIDs are ids below a number, of which the largest is one.
func hardIDs[I ID](random *rand.Rand, n, below int) []I {
	ids := make([]I, n)
	for i := range ids {
		ids[i] = I(min(int(random.ExpFloat64()*float64(below)/3), below-1))
	}
	return ids
}

// TestLoopsInAssemblerHaveTheBitsOfPlainGo, for all lengths, with values of each kind.
func TestLoopsInAssemblerHaveTheBitsOfPlainGo(t *testing.T) {
	have, have512 := avx2, avx512
	defer func() { avx2, avx512 = have, have512 }()
	t.Logf("AVX2: %v, AVX-512: %v", have, have512)
	for n := range 90 {
		if n >= 80 {
			n = 500 + n // beyond a chunk of the model, and where products become small
		}
		for seed := range uint64(3) {
			var results [3][]uint32
			for path := range results {
				avx2, avx512 = have && path > 0, have512 && path == 2
				random := rand.New(rand.NewPCG(uint64(n), seed))
				sized := func(n int) []float32 {
					if seed == 0 { // else NaN hides the rest
						v := make([]float32, n)
						for i := range v {
							v[i] = float32(random.NormFloat64() * 30)
						}
						return v
					}
					return hardFloats(random, n)
				}
				floats := func() []float32 { return sized(n) }
				z, x, y := floats(), floats(), make([]float32, n)
				bytes := make([]uint8, n)
				for i := range y {
					y[i] = float32(random.IntN(2))
					bytes[i] = uint8(random.Uint32())
				}
				note := func(v ...float32) {
					for _, f := range v {
						if f != f {
							f = float32(math.NaN())
						}
						results[path] = append(results[path], math.Float32bits(f))
					}
				}
				Affine(z, [][]float32{x}, 0, []float32{1.25}, -0.5, nil)
				note(z...)
				AddScaled(z, x, 0.3)
				note(z...)
				var columns [][]float32
				for range 14 {
					columns = append(columns, floats())
				}
				weights, g, from := sized(14), make([]float32, 14), min(n, 3)
				for _, k := range []int{0, 1, 6, 8, 14} {
					for _, ahead := range [][]float32{nil, make([]float32, n*k/2)} {
						Affine(z[from:], columns[:k], from, weights[:k], 0.75, ahead)
						note(z...)
						note(DotColumns(g[:k], x[from:], columns[:k], from))
						note(g...)
					}
				}
				note(Dot(z, x), Sum(z))
				Floats(z, bytes)
				note(z...)
				for _, size := range []int{1, 2, 7, 8, 9, 25, 32, 33, 255, 256, 300} {
					table := sized(size)
					if size <= 256 {
						Gather(z, table, hardIDs[uint8](random, n, size))
					}
					Gather(z, table, hardIDs[uint16](random, n, size))
					Gather(z, table, hardIDs[uint32](random, n, size))
					note(z...)
				}
				for try := range 8 {
					slots, least := 1+try/2, 8+try%2 // the first has few elements, or not
					var tables [][]float32
					var ids [][]uint8
					for k := range slots {
						tables = append(tables, sized(least+80*k))
						ids = append(ids, hardIDs[uint8](random, n, least+80*k))
					}
					ScatterBytes(tables, ids, x)
					for _, table := range tables {
						note(table...)
					}
				}
				Sigmoid(z, x)
				note(z...)
				loss := LogisticResidual(z, x, y, 1.0/1024)
				note(z...)
				if loss == loss {
					results[path] = append(results[path], uint32(math.Float64bits(loss)), uint32(math.Float64bits(loss)>>32))
				}
				sums := make([]float64, n)
				Accumulate(sums, x, 1023)
				Accumulate(sums, z, 1.0/3)
				Narrow(z, sums, 1/1023.3)
				note(z...)
				for parts := range 4 {
					Mean(z, [][]float32{x, z, y}[:parts], []float64{1023, 1.0 / 3, 7}[:parts], 1/1023.3)
					note(z...)
				}
				Blend(z, z, x, 1.0/7)
				note(z...)
				m, v := floats(), floats()
				AdamStep(z, x, m, v, 0.9, 1-float32(0.9), 0.999, 1-float32(0.999), 0.01, 1e-8)
				note(append(append(z, m...), v...)...)
			}
			for i, plain := range results[0] {
				for path, name := range []string{"AVX2", "AVX-512"} {
					if with := results[path+1][i]; with != plain {
						t.Fatalf("n=%d, seed %d: result %d of %d is %v with %s, in plain Go %v", n, seed, i, len(results[0]),
							math.Float32frombits(with), name, math.Float32frombits(plain))
					}
				}
			}
		}
	}
}

// TestIDsBeyondATableNeverReachLoopsInAssembler, which would read and write what is behind it.
func TestIDsBeyondATableNeverReachLoopsInAssembler(t *testing.T) {
	for at := range 40 {
		for _, size := range []int{0, 1, 8, 30, 200} {
			z, table := make([]float32, 40), make([]float32, size)
			bytes, shorts, words := make([]uint8, 40), make([]uint16, 40), make([]uint32, 40)
			bytes[at], shorts[at], words[at] = uint8(size), 65535, math.MaxUint32
			for name, f := range map[string]func(){
				"bytes":   func() { Gather(z, table, bytes) },
				"shorts":  func() { Gather(z, table, shorts) },
				"words":   func() { Gather(z, table, words) },
				"scatter": func() { ScatterBytes([][]float32{make([]float32, 256), table}, [][]uint8{make([]uint8, 40), bytes}, z) },
			} {
				t.Run(fmt.Sprintf("%s, %d at %d", name, size, at), func(t *testing.T) {
					defer func() {
						if recover() == nil {
							t.Error("no panic")
						}
					}()
					f()
				})
			}
		}
	}
}

// TestTheLossOfSureMisses is finite, however many there are: products that would
// vanish are taken apart.
func TestTheLossOfSureMisses(t *testing.T) {
	for n := range 700 {
		z, y := make([]float32, n), make([]float32, n)
		Fill(z, 300)
		loss, want := LogisticResidual(z, z, y, 1), -float64(n)*math.Log(Epsilon)
		if math.Abs(loss-want) > 1e-9*want {
			t.Fatalf("%d rows: loss %v, want %v", n, loss, want)
		}
	}
}
