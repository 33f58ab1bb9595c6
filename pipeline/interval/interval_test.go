package interval

import (
	"math"
	"testing"
)

// The values are those of Newcombe (1998), table II, method 10.
func TestDifferencesOfSharesAreNewcombes(t *testing.T) {
	for _, c := range []struct {
		k, n, l, m int64
		low, high  float64
	}{
		{56, 70, 48, 80, 0.0524, 0.3339},
		{9, 10, 3, 10, 0.1705, 0.8090},
		{5, 56, 0, 29, -0.0381, 0.1926},
		{10, 10, 0, 10, 0.6075, 1},
	} {
		p, q := float64(c.k)/float64(c.n), float64(c.l)/float64(c.m)
		got := Difference(q, Wilson(q, c.m), p, Wilson(p, c.n))
		if math.Abs(got[0]-c.low) > 5e-5 || math.Abs(got[1]-c.high) > 5e-5 {
			t.Errorf("%d of %d less %d of %d: %.4f, want %v to %v", c.k, c.n, c.l, c.m, got, c.low, c.high)
		}
	}
}
