package kernel_test

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Exponentials are right to the roundings that Sigmoid promises.
func TestExpIsNearTheExactOne(t *testing.T) {
	out := make([]float32, 1)
	for z := float32(-87); z <= 87; z += 0.0137 {
		kernel.Exp(out, []float32{z})
		want := math.Exp(float64(z))
		if bound := (1 + math.Abs(float64(z))) / (1 << 22); math.Abs(float64(out[0])/want-1) > bound {
			t.Fatalf("exp(%v) = %v, want %v", z, out[0], want)
		}
	}
	for _, z := range []float32{-1e30, 1e30, float32(math.Inf(1)), float32(math.Inf(-1))} {
		if kernel.Exp(out, []float32{z}); out[0]-out[0] != 0 {
			t.Errorf("exp(%v) = %v", z, out[0])
		}
	}
}

// Probabilities of classes add up to 1, however large the values are, and do not
// change when all values of a row move.
func TestProbabilitiesOfClassesAddUpToOne(t *testing.T) {
	z := []float32{1, 2, 3, 1000, -1000, 0, -5, -5, -5, 1e30, 1e30, -1e30}
	kernel.Softmax(z, 3)
	for i := 0; i < len(z); i += 3 {
		if sum := float64(z[i]) + float64(z[i+1]) + float64(z[i+2]); math.Abs(sum-1) > 1e-6 {
			t.Errorf("row %d: %v", i/3, z[i:i+3])
		}
	}
	moved := []float32{513, 514, 515}
	kernel.Softmax(moved, 3)
	for k, p := range moved {
		if p != z[k] {
			t.Errorf("class %d: %v after a move, %v before", k, p, z[k])
		}
	}
}
