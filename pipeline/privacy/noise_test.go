package privacy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

func sourceOf(secret, job string) Source { return NewSource(sha256.Sum256([]byte(secret)), job) }

func TestNoiseIsStandardNormal(t *testing.T) {
	const n = 200_000
	sums := make([]float64, n)
	sourceOf("secret", "job").Add(sums, 7, 3)
	var mean, square, fourth float64
	within := 0
	for _, x := range sums {
		x /= 3
		mean, square, fourth = mean+x/n, square+x*x/n, fourth+x*x*x*x/n
		if math.Abs(x) < 1 {
			within++
		}
	}
	// Six standard errors of each.
	if math.Abs(mean) > 6/math.Sqrt(n) || math.Abs(square-1) > 6*math.Sqrt(2.0/n) || math.Abs(fourth-3) > 6*math.Sqrt(96.0/n) || math.Abs(float64(within)/n-0.682689) > 6*0.00104 {
		t.Errorf("mean %v, square %v, fourth power %v, %d of %d within a deviation", mean, square, fourth, within, n)
	}
}

func TestNoiseFollowsFromSecretJobAndStep(t *testing.T) {
	noise := func(s Source, step int64) []float64 { x := make([]float64, 5); s.Add(x, step, 1); return x }
	first := noise(sourceOf("secret", "job"), 1)
	if !slices.Equal(first, noise(sourceOf("secret", "job"), 1)) {
		t.Error("the same secret gave other noise")
	}
	for name, other := range map[string][]float64{"secret": noise(sourceOf("another", "job"), 1), "job": noise(sourceOf("secret", "other"), 1), "step": noise(sourceOf("secret", "job"), 2)} {
		for i := range other {
			if other[i] == first[i] {
				t.Errorf("another %s has the same noise at %d", name, i)
			}
		}
	}
	data, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != noiseBits {
		t.Errorf("noise of sha256 %s on this processor, %s elsewhere: %v", got, noiseBits, first)
	}
}

const noiseBits = "863bd56e309981f684d325824458b14de56e462eb607a5a19030c9b2dbb7c7fc"

func TestASampleHasEachRowWithItsProbability(t *testing.T) {
	s := sourceOf("secret", "job")
	const steps, rows, rate = 2000, 50, 0.1
	var each [rows]int
	both := 0
	for step := range int64(steps) {
		in := s.Sample(nil, step, 3, rows, rate)
		for _, i := range in {
			each[i]++
		}
		if slices.Contains(in, 4) && slices.Contains(in, 5) {
			both++
		}
	}
	deviation := math.Sqrt(steps * rate * (1 - rate))
	for i, n := range each {
		if math.Abs(float64(n)-steps*rate) > 5*deviation {
			t.Errorf("row %d was in %d of %d samples", i, n, steps)
		}
	}
	if math.Abs(float64(both)-steps*rate*rate) > 5*math.Sqrt(steps*rate*rate) {
		t.Errorf("two rows were in %d samples together", both)
	}
	if n := len(s.Sample(nil, 1, 1, 10, 1)); n != 10 {
		t.Errorf("%d of 10 rows at a rate of 1", n)
	}
}
