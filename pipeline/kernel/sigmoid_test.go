package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

func TestSigmoidIsWithinItsErrorBound(t *testing.T) {
	var z, got []float32
	for x := -86.0; x < 86; x += 0.0007 {
		z = append(z, float32(x))
	}
	got = make([]float32, len(z))
	kernel.Sigmoid(got, z)
	for i, x := range z {
		want := 1 / (1 + math.Exp(-float64(x)))
		bound := (1 + math.Abs(float64(x))) / (1 << 22)
		if off := math.Abs(float64(got[i])/want - 1); off > bound {
			t.Fatalf("Sigmoid(%v) = %v, want %v: relative error %.3g above %.3g", x, got[i], want, off, bound)
		}
	}
}

func TestSigmoidAtTheEnds(t *testing.T) {
	inf := float32(math.Inf(1))
	z := []float32{-inf, -1e30, -88, 0, 88, 1e30, inf, float32(math.NaN())}
	got := make([]float32, len(z))
	kernel.Sigmoid(got, z)
	for i, p := range got[:3] {
		if !(p > 0 && p < 1e-37) {
			t.Errorf("Sigmoid(%v) = %v, want just above 0", z[i], p)
		}
	}
	if got[3] != 0.5 {
		t.Errorf("Sigmoid(0) = %v", got[3])
	}
	for i, p := range got[4:7] {
		if p != 1 {
			t.Errorf("Sigmoid(%v) = %v, want 1", z[4+i], p)
		}
	}
	if !math.IsNaN(float64(got[7])) {
		t.Errorf("Sigmoid(NaN) = %v", got[7])
	}
}

func TestLogisticResidualIsGradientAndLoss(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rows, scale = 77, 0.25
	z, y, d := make([]float32, rows), make([]float32, rows), make([]float32, rows)
	var want float64
	for i := range z {
		z[i], y[i] = float32(random.NormFloat64()*3), float32(random.IntN(2))
		p := 1 / (1 + math.Exp(-float64(z[i])))
		want -= math.Log(math.Abs(float64(1-y[i]) - p))
	}
	loss := kernel.LogisticResidual(d, z, y, scale)
	if math.Abs(loss/want-1) > 1e-5 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	for i := range z {
		p := 1 / (1 + math.Exp(-float64(z[i])))
		if math.Abs(float64(d[i])-(p-float64(y[i]))*scale) > 1e-6 {
			t.Errorf("row %d: residual %v", i, d[i])
		}
	}
	// A sure prediction that is wrong costs the clamp, not infinity.
	if loss := kernel.LogisticResidual(d[:1], []float32{200}, []float32{0}, 1); math.Abs(loss+math.Log(kernel.Epsilon)) > 1e-9 {
		t.Errorf("loss of a sure miss is %v, want %v", loss, -math.Log(kernel.Epsilon))
	}
}

func TestSquaredResidualIsGradientAndLoss(t *testing.T) {
	d := make([]float32, 2)
	loss := kernel.SquaredResidual(d, []float32{3, -1}, []float32{1, 0.5}, 0.5)
	if d[0] != 1 || d[1] != -0.75 || loss != (4+2.25)/2 {
		t.Errorf("residuals %v, loss %v", d, loss)
	}
}

func TestLogIsWithinOneUnit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		x := math.Exp(random.Float64()*1400 - 700)
		got, want := kernel.Log(x), math.Log(x)
		if math.Abs(got-want) > math.Abs(want)*0x1p-52 {
			t.Fatalf("Log(%v) = %v, want %v", x, got, want)
		}
	}
	if kernel.Log(1) != 0 {
		t.Errorf("Log(1) = %v", kernel.Log(1))
	}
}

func TestLogSumDoesNotDependOnTheCut(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	p := make([]float64, 1000)
	var exact float64
	for i := range p {
		p[i] = random.Float64()
		exact += math.Log(max(p[i], kernel.Epsilon))
	}
	var whole kernel.LogSum
	for _, x := range p {
		whole.Add(x)
	}
	if math.Abs(whole.Value()/exact-1) > 1e-12 {
		t.Errorf("sum %v, want %v", whole.Value(), exact)
	}
	var again kernel.LogSum
	for i, x := range p {
		again.Add(x)
		if i%7 == 0 {
			again.Value() // looking at it must not change it
		}
	}
	if again.Value() != whole.Value() {
		t.Errorf("reading the sum on the way changed it: %v, %v", again.Value(), whole.Value())
	}
}
