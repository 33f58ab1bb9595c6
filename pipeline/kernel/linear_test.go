package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// column returns n values of a normal distribution.
func column(random *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	return x
}

// idColumn returns n ids below cardinality.
func idColumn(random *rand.Rand, n, cardinality int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = random.Uint32N(uint32(cardinality))
	}
	return ids
}

func TestForwardLoopsAreTheirReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 3, 5, 64, 513} {
		x, s, u := column(random, n), column(random, 11), column(random, 5)
		a, b := idColumn(random, n, 11), idColumn(random, n, 5)
		z, want := make([]float32, n), make([]float32, n)
		kernel.Fill(z, 0.5)
		kernel.AddScaled(z, x, 1.25)
		kernel.Gather(z, s, a)
		kernel.Gather(z, u, b)
		kernel.Gather(z, u, b)
		for i := range want {
			v := float32(0.5)
			v += float32(1.25 * x[i])
			v += s[a[i]]
			v += u[b[i]]
			v += u[b[i]]
			want[i] = v
		}
		affine := make([]float32, n)
		kernel.Affine(affine, [][]float32{x}, 0, []float32{1.25}, 0.5, nil)
		for i := range affine {
			if affine[i] != 0.5+float32(1.25*x[i]) {
				t.Fatalf("n=%d row %d: affine %v", n, i, affine[i])
			}
		}
		for i := range want {
			if z[i] != want[i] {
				t.Fatalf("n=%d row %d: %v, want %v", n, i, z[i], want[i])
			}
		}
	}
}

func TestBackwardLoopsAreTheirReference(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 3, 4, 5, 64, 513} {
		d, x := column(random, n), column(random, n)
		a, b := idColumn(random, n, 11), idColumn(random, n, 5)
		g, h := make([]float32, 11), make([]float32, 5)
		kernel.Scatter(g, a, d)
		kernel.Scatter(h, b, d)
		kernel.Scatter(h, b, d)
		wantG, wantH := make([]float64, 11), make([]float64, 5)
		var dot, sum float64
		for i := range d {
			wantG[a[i]] += float64(d[i])
			wantH[b[i]] += 2 * float64(d[i])
			dot += float64(d[i]) * float64(x[i])
			sum += float64(d[i])
		}
		near := func(what string, got float32, want float64) {
			if math.Abs(float64(got)-want) > 1e-4 {
				t.Errorf("n=%d: %s is %v, want %v", n, what, got, want)
			}
		}
		for i := range g {
			near("scatter", g[i], wantG[i])
		}
		for i := range h {
			near("second scatter", h[i], wantH[i])
		}
		near("dot", kernel.Dot(d, x), dot)
		near("sum", kernel.Sum(d), sum)
	}
}

func TestUnequalLengthsPanic(t *testing.T) {
	three, two, ids := make([]float32, 3), make([]float32, 2), make([]uint32, 2)
	for name, f := range map[string]func(){
		"AddScaled":        func() { kernel.AddScaled(three, two, 1) },
		"Affine":           func() { kernel.Affine(three, [][]float32{two}, 0, []float32{1}, 1, nil) },
		"Gather":           func() { kernel.Gather(three, two, ids) },
		"Scatter":          func() { kernel.Scatter(two, ids, three) },
		"Dot":              func() { kernel.Dot(three, two) },
		"Sigmoid":          func() { kernel.Sigmoid(two, three) },
		"LogisticResidual": func() { kernel.LogisticResidual(three, three, two, 1) },
		"SquaredResidual":  func() { kernel.SquaredResidual(three, three, two, 1) },
		"Accumulate":       func() { kernel.Accumulate(make([]float64, 2), three, 1) },
		"Mean of weights":  func() { kernel.Mean(three, [][]float32{three}, nil, 1) },
		"Mean of a part":   func() { kernel.Mean(three, [][]float32{three, two}, []float64{1, 1}, 1) },
		"Blend":            func() { kernel.Blend(three, three, two, 1) },
		"Narrow":           func() { kernel.Narrow(three, make([]float64, 2), 1) },
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

func TestFiniteNamesTheFirstBadElement(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	for _, test := range []struct {
		v    []float32
		want int
	}{
		{nil, -1}, {[]float32{1, math.MaxFloat32, -math.MaxFloat32, 1e-45}, -1},
		{[]float32{1, inf, nan}, 1}, {[]float32{nan}, 0}, {[]float32{0, 0, -inf}, 2},
	} {
		if got := kernel.Finite(test.v); got != test.want {
			t.Errorf("Finite(%v) = %d, want %d", test.v, got, test.want)
		}
	}
}

func TestWeightedMean(t *testing.T) {
	sum := make([]float64, 2)
	kernel.Accumulate(sum, []float32{1, 1e8}, 3)
	kernel.Accumulate(sum, []float32{5, 1}, 1)
	got := make([]float32, 2)
	kernel.Narrow(got, sum, 1.0/4)
	if got[0] != 2 || got[1] != float32((3e8+1)/4) {
		t.Errorf("mean %v", got)
	}
	if kernel.Mean(got, [][]float32{{1, 1e8}, {5, 1}}, []float64{3, 1}, 1.0/4); got[0] != 2 || got[1] != float32((3e8+1)/4) {
		t.Errorf("in one pass %v", got)
	}
}

// The mean in one pass has the bits of sums that are added up part by part.
func TestMeanInOnePassHasTheBitsOfSums(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	for n := range 100 {
		parts, weights := make([][]float32, random.IntN(6)), make([]float64, 6)
		sum, want, got := make([]float64, n), make([]float32, n), make([]float32, n)
		for k := range parts {
			parts[k], weights[k] = make([]float32, n), 1000*random.Float64()
			for i := range parts[k] {
				parts[k][i] = math.Float32frombits(random.Uint32() &^ 0x40000000)
			}
			kernel.Accumulate(sum, parts[k], weights[k])
		}
		kernel.Narrow(want, sum, 1.0/3000)
		kernel.Mean(got, parts, weights[:len(parts)], 1.0/3000)
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%d parts: element %d of %d is %v, by sums %v", len(parts), i, n, got[i], want[i])
			}
		}
	}
}

func TestMeanOfOneVectorIsThatVector(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	v, got := make([]float32, 5000), make([]float32, 5000)
	for i := range v {
		v[i] = math.Float32frombits(random.Uint32() &^ 0x40000000) // below 2 in magnitude, subnormals too
	}
	v[0] = math.MaxFloat32
	for _, weight := range []float64{1, 3, 1023, 65536, 1e9 + 7} {
		sum := make([]float64, len(v))
		kernel.Accumulate(sum, v, weight)
		kernel.Narrow(got, sum, 1/weight)
		for i := range v {
			if got[i] != v[i] {
				t.Fatalf("weight %v: %v became %v", weight, v[i], got[i])
			}
		}
	}
}

func TestBlendedMeans(t *testing.T) {
	mean := []float32{4, -2}
	kernel.Blend(mean, mean, []float32{8, 1}, 1.0/2)
	kernel.Blend(mean, mean, []float32{3, 2.5}, 1.0/3)
	if mean[0] != 5 || mean[1] != 0.5 {
		t.Errorf("mean %v", mean)
	}
}
