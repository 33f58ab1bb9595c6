package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFMARoundsOnce, as a sum of any precision does.
func TestFMARoundsOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	draw := func() float32 {
		if random.IntN(3) == 0 {
			return math.Float32frombits(random.Uint32()&0x807fffff | uint32(60+random.IntN(130))<<23)
		}
		return float32(random.IntN(1<<13)-1<<12) * float32(math.Ldexp(1, random.IntN(60)-80)) // whose sums are in the middle
	}
	for range 200_000 {
		a, b := draw(), draw()
		c := draw()
		switch random.IntN(4) {
		case 0:
			c = float32(-float64(a) * float64(b)) // almost all cancels
		case 1: // the product is far below c, or about half of its last place
			c = float32(float64(a) * float64(b) * math.Ldexp(1, 20+random.IntN(40)))
		}
		if c-c != 0 {
			continue
		}
		exact := new(big.Float).SetPrec(2000)
		exact.Mul(big.NewFloat(float64(a)), big.NewFloat(float64(b)).SetPrec(2000))
		exact.Add(exact, big.NewFloat(float64(c)))
		want, _ := exact.Float32()
		if got := fma(a, b, c); got != want {
			t.Fatalf("%x*%x + %x is %x, not %x", a, b, c, got, want)
		}
	}
	inf := float32(math.Inf(1))
	for _, v := range [][4]float32{{inf, 1, 1, inf}, {1e30, 1e30, 0, inf}, {1e30, 1e30, -inf, -inf}, {0, 5, 0, 0}, {1e-30, 1e-30, 0, 0}} {
		if got := fma(v[0], v[1], v[2]); got != v[3] {
			t.Errorf("%v*%v + %v is %v", v[0], v[1], v[2], got)
		}
	}
}

// TestGemmHasTheBitsOfPlainGo, for shapes around those of its tiles, in rows and columns that
// lie apart.
func TestGemmHasTheBitsOfPlainGo(t *testing.T) {
	have, have512 := avx2, avx512
	defer func() { avx2, avx512 = have, have512 }()
	t.Logf("AVX2: %v, AVX-512: %v, fused: %v", have, have512, fused)
	sizes := []int{1, 2, 5, 6, 7, 11, 12, 13, 16, 17, 31, 32, 33, 49, 64, 100, 300}
	for _, m := range sizes {
		for _, n := range sizes {
			for _, depth := range []int{1, 3, 64, gemmDepth + 5} {
				random := rand.New(rand.NewPCG(uint64(m*n), uint64(depth)))
				draw := func(n int) []float32 {
					if depth == 3 {
						return hardFloats(random, n)
					}
					v := make([]float32, n)
					for i := range v {
						v[i] = float32(random.NormFloat64())
					}
					return v
				}
				a := Strided{Values: draw((m + 2) * (depth + 1)), Row: depth + 1, Column: 1}
				if n%2 == 0 {
					a.Row, a.Column = 1, m+2
				}
				apart := m / 2 % 2 // columns that lie apart, or side by side
				b, c, start := draw(depth*(n+3)), draw(m*(n+apart)), draw(n)
				if m%3 == 0 {
					start = nil
				}
				var results [3][]float32
				for path := range results {
					avx2, avx512 = have && path > 0, have512 && path == 2
					results[path] = slices.Concat(c, c, c)
					Gemm(results[path], n+apart, a, b, n+3, m, n, depth)
					GemmFrom(results[path][len(c):], n+apart, start, a, b, n+3, m, n, depth)
					same := results[path][2*len(c):] // the same by Gemm
					for i := range m {
						row := same[i*(n+apart):][:n]
						clear(row)
						copy(row, start)
					}
					Gemm(same, n+apart, a, b, n+3, m, n, depth)
					for i, v := range same {
						if from := results[path][len(c)+i]; math.Float32bits(from) != math.Float32bits(v) && (v == v || from == from) {
							t.Fatalf("%d x %d x %d, path %d: element %d is %v, not %v", m, n, depth, path, i, from, v)
						}
					}
				}
				for path, with := range results {
					for i, v := range with {
						if want := results[0][i]; math.Float32bits(v) != math.Float32bits(want) && (v == v || want == want) {
							t.Fatalf("%d x %d x %d, path %d: element %d is %v, in plain Go %v", m, n, depth, path, i, v, want)
						}
					}
				}
			}
		}
	}
}

// TestTransposeMovesEachElement, and nothing else.
func TestTransposeMovesEachElement(t *testing.T) {
	have := avx2
	defer func() { avx2 = have }()
	for path := range 2 {
		avx2 = have && path > 0
		for rows := range 35 {
			for columns := range 35 {
				src, dst := make([]float32, max(0, (rows-1)*(columns+2)+columns)), make([]float32, max(0, (columns-1)*(rows+3)+rows))
				want := make([]float32, len(dst))
				for i := range src {
					src[i] = float32(i + 1)
				}
				for i := range rows {
					for j := range columns {
						want[j*(rows+3)+i] = src[i*(columns+2)+j]
					}
				}
				if Transpose(dst, rows+3, src, columns+2, rows, columns); !slices.Equal(dst, want) {
					t.Fatalf("%d x %d, path %d: %v, not %v", rows, columns, path, dst, want)
				}
			}
		}
	}
}

func TestGemmRefusesMatricesThatDoNotFit(t *testing.T) {
	v := make([]float32, 12)
	for name, f := range map[string]func(){
		"c":                func() { Gemm(v[:11], 4, Strided{v, 2, 1}, v, 4, 3, 4, 2) },
		"a":                func() { Gemm(v, 4, Strided{v[:5], 2, 1}, v, 4, 3, 4, 2) },
		"b":                func() { Gemm(v, 4, Strided{v, 2, 1}, v[:7], 4, 3, 4, 2) },
		"a row":            func() { Gemm(v, 3, Strided{v, 2, 1}, v, 4, 3, 4, 2) },
		"a place":          func() { Gemm(v, 4, Strided{v, -1, 1}, v, 4, 3, 4, 2) },
		"start":            func() { GemmFrom(v, 4, v[:3], Strided{v, 2, 1}, v, 4, 3, 4, 2) },
		"c of no products": func() { GemmFrom(v[:11], 4, v, Strided{}, nil, 4, 3, 4, 0) },
		"transposed":       func() { Transpose(v, 3, v[:11], 4, 3, 4) },
		"its place":        func() { Transpose(v[:11], 3, v, 4, 3, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{512, 128, 64}, {512, 64, 128}, {64, 128, 512}, {512, 1, 64}, {512, 32, 64}} {
		m, n, depth := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, depth), func(b *testing.B) {
			x, y, z := make([]float32, m*depth), make([]float32, depth*n), make([]float32, m*n)
			for b.Loop() {
				Gemm(z, n, Strided{x, depth, 1}, y, n, m, n, depth)
			}
			b.ReportMetric(2*float64(m*n*depth)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
