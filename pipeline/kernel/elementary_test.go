package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// near reports whether a is within so many units in the last place of b, or of floor.
func near(a, b, ulps, floor float64) bool {
	return a == b || math.Abs(a-b) <= ulps*0x1p-52*math.Max(math.Abs(b), floor)
}

func TestElementaryFunctionsAreThoseOfTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	values := []float64{0, 5e-324, 1e-300, 1e-17, 1, math.Pi, 1e15, 1e300, math.MaxFloat64, 709.7, 745, 1e-5, 0.125, 0.25, 0.5, 0.75}
	for range 20_000 {
		values = append(values, math.Exp(r.NormFloat64()*20), r.Float64())
	}
	for _, x := range values {
		if got, want := Log1p(x), math.Log1p(x); !near(got, want, 4, 0) {
			t.Errorf("Log1p(%v) = %v, want %v", x, got, want)
		}
		for _, x := range []float64{x, -x} {
			if got, want := Expm1(x), math.Expm1(x); !near(got, want, 6, 0) {
				t.Errorf("Expm1(%v) = %v, want %v", x, got, want)
			}
			sin, cos := SinCos(x)
			turn := math.Mod(x, 1)
			wantSin, wantCos := math.Sincos(2 * math.Pi * turn)
			if !near(sin, wantSin, 8, 1) || !near(cos, wantCos, 8, 1) {
				t.Errorf("SinCos(%v) = %v, %v, want %v, %v", x, sin, cos, wantSin, wantCos)
			}
		}
	}
	for turns, want := range map[float64][2]float64{0: {0, 1}, 0.25: {1, 0}, 0.5: {0, -1}, 0.75: {-1, 0}, -0.25: {-1, 0}, 7: {0, 1}} {
		if sin, cos := SinCos(turns); sin != want[0] || cos != want[1] {
			t.Errorf("SinCos(%v) = %v, %v", turns, sin, cos)
		}
	}
}

// The bits on any machine.
func TestElementaryFunctionsHaveTheirBits(t *testing.T) {
	sum := uint64(0)
	mix := func(x float64) { sum = Mix(sum ^ math.Float64bits(x)) }
	r := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		x := math.Ldexp(r.Float64()-0.5, r.IntN(20)-10)
		sin, cos := SinCos(x)
		mix(Log1p(math.Abs(x)))
		mix(Expm1(x))
		mix(sin)
		mix(cos)
	}
	if want := uint64(0x1d74d22a8a83e6c5); sum != want {
		t.Errorf("%#x, want %#x", sum, want)
	}
}
