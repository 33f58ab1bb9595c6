package metric_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/metric"
)

// The strength of a feature is what counting pairs, or its correlation, gives.
func TestAloneIsWhatPairsAndCorrelationsGive(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		n := 2 + random.IntN(40)
		scores, labels, numbers := make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range n {
			scores[i] = float32(random.IntN(6)) // ties
			labels[i] = float32(random.IntN(2))
			numbers[i] = float32(random.NormFloat64()) + scores[i]/3
		}
		var won, pairs, sx, sy, sxx, syy, sxy float64
		for i := range n {
			for k := range n {
				if labels[i] == 1 && labels[k] == 0 {
					pairs++
					switch {
					case scores[i] > scores[k]:
						won++
					case scores[i] == scores[k]:
						won += 0.5
					}
				}
			}
			x, y := float64(scores[i]), float64(numbers[i])
			sx, sy, sxx, syy, sxy = sx+x, sy+y, sxx+x*x, syy+y*y, sxy+x*y
		}
		want := 0.0
		if pairs > 0 {
			want = max(won/pairs, 1-won/pairs)
		}
		if got := metric.Alone(scores, labels, true); math.Abs(got-want) > 1e-12 {
			t.Fatalf("scores %v, labels %v: area %v, want %v", scores, labels, got, want)
		}
		m := float64(n)
		spread := (sxx - sx*sx/m) * (syy - sy*sy/m)
		if want = 0; spread > 1e-9 {
			want = math.Pow(sxy-sx*sy/m, 2) / spread
		}
		if got := metric.Alone(scores, numbers, false); math.Abs(got-want) > 1e-9 {
			t.Fatalf("scores %v, numbers %v: squared correlation %v, want %v", scores, numbers, got, want)
		}
	}
}
