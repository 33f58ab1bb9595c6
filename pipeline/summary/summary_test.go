package summary

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// samples are values to summarise, of which some are extreme, and some too many to
// be told apart.
func samples() map[string][]float64 {
	r := rand.New(rand.NewPCG(1, 2))
	make := func(n int, f func() float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = f()
		}
		return out
	}
	return map[string][]float64{
		"one":            {-3.5},
		"whole numbers":  make(20_000, func() float64 { return float64(r.IntN(2000) - 30) }),
		"uniform":        make(70_000, r.Float64),
		"normal":         make(70_000, r.NormFloat64),
		"far from 0":     make(70_000, func() float64 { return 1e9 + r.NormFloat64() }),
		"mostly 0":       make(90_000, func() float64 { return max(0, r.NormFloat64()) }),
		"all magnitudes": make(70_000, func() float64 { return math.Ldexp(r.Float64()-0.5, r.IntN(2000)-1000) }),
		"extremes":       {math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324, math.Copysign(0, -1), 0, math.MaxFloat64},
	}
}

// both is what the steps keep of a column.
type both struct {
	Moments   Moments   `json:"moments"`
	Quantiles Quantiles `json:"quantiles"`
}

func (b *both) add(values []float64) {
	for _, x := range values {
		b.Moments.Add(x)
		b.Quantiles.Add(x)
	}
}

func (b *both) json(t *testing.T) string {
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestNeitherOrderNorPartsChangeABit(t *testing.T) {
	for name, values := range samples() {
		var whole both
		whole.add(values)
		want := whole.json(t)

		r := rand.New(rand.NewPCG(3, 4))
		mixed := slices.Clone(values)
		r.Shuffle(len(mixed), func(i, k int) { mixed[i], mixed[k] = mixed[k], mixed[i] })
		slices.Sort(mixed[:len(mixed)/2])
		var merged both
		for len(mixed) > 0 {
			n := 1 + r.IntN(len(mixed))
			var part, read both
			part.add(mixed[:n])
			if err := json.Unmarshal([]byte(part.json(t)), &read); err != nil {
				t.Fatal(err)
			}
			merged.Moments.Merge(&read.Moments)
			merged.Quantiles.Merge(&read.Quantiles)
			mixed = mixed[n:]
		}
		if got := merged.json(t); got != want {
			t.Errorf("%s: in parts %.200s\nwhole %.200s", name, got, want)
		}
		if whole.Moments.Mean() != merged.Moments.Mean() || whole.Quantiles.At(0.1) != merged.Quantiles.At(0.1) {
			t.Errorf("%s: the mean is %v and %v", name, whole.Moments.Mean(), merged.Moments.Mean())
		}
	}
}

func TestQuantilesAreExactWhileValuesAreFewAndCloseAfterThat(t *testing.T) {
	for name, values := range samples() {
		var b both
		b.add(values)
		slices.Sort(values)
		distinct := len(slices.Compact(slices.Clone(values)))
		if n := b.Quantiles.used; n > maxPoints || distinct > maxPoints && n < maxPoints/4 {
			t.Errorf("%s: %d points of %d values", name, n, distinct)
		}
		for _, share := range []float64{0, 0.01, 0.25, 0.5, 0.9, 1} {
			rank := share * float64(len(values)-1)
			low, high := values[int(rank)], values[min(int(rank)+1, len(values)-1)]
			slack := 0.0
			if distinct > maxPoints {
				slack = map[string]float64{"all magnitudes": 0.1, "far from 0": 1e-12}[name]
				if slack == 0 {
					slack = 0.003
				}
			}
			if got := b.Quantiles.At(share); got < low-slack*math.Abs(low) || got > high {
				t.Errorf("%s: quantile %v is %v, not from %v to %v", name, share, got, low, high)
			}
		}
	}
}

func TestMomentsAreThoseOfExactArithmetic(t *testing.T) {
	// Python's statistics.fmean is not exact; these are of statistics.mean and pstdev,
	// which are: python -c 'import statistics as s; v = [...]; print(s.mean(v), s.pstdev(v))'
	for _, tc := range []struct {
		values          []float64
		mean, deviation float64
	}{
		{[]float64{0.1, 0.1, 0.1}, 0.1, 0},
		{[]float64{1e308, 1e308, -1e308, 1.5}, 2.5e+307, 8.2915619758885e+307},
		{[]float64{1e16, 1, -1e16, 1}, 0.5, 7071067811865475},
		{[]float64{1e9 + 0.1, 1e9 + 0.2, 1e9 + 0.3}, 1000000000.2, 0.08164962889258424},
		{[]float64{5e-324, 5e-324, 1.5e-323}, 1e-323, 5e-324},
		{[]float64{-2.5, 7.25, 1e-30}, 1.5833333333333333, 4.134878743351759},
	} {
		var m Moments
		for _, x := range tc.values {
			m.Add(x)
		}
		if m.Mean() != tc.mean || m.Deviation() != tc.deviation {
			t.Errorf("%v: mean %v, deviation %v, want %v, %v", tc.values, m.Mean(), m.Deviation(), tc.mean, tc.deviation)
		}
	}
}

func TestAMillionTimesOneValueCarries(t *testing.T) {
	var m Moments
	m.sum.adds, m.squares.adds = 1<<30-1000, 1<<30-1000
	for range 1_000_000 {
		m.Add(-math.MaxFloat64)
	}
	if m.Mean() != -math.MaxFloat64 || m.Deviation() != 0 {
		t.Errorf("mean %v, deviation %v", m.Mean(), m.Deviation())
	}
}

func TestMedianDeviation(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{1, 1, 2, 2, 4, 6, 9}, 1},
		{[]float64{1, 2, 3, 4}, 1},
		{[]float64{-math.MaxFloat64, math.MaxFloat64}, math.MaxFloat64},
		{[]float64{5}, 0},
	} {
		var q Quantiles
		for _, x := range tc.values {
			q.Add(x)
		}
		if got := q.MedianDeviation(); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.values, got, tc.want)
		}
	}
}

// What was not written by a summary is refused, or is a summary.
func FuzzSummaries(f *testing.F) {
	var b both
	b.add([]float64{1, -2.5, 1e300, 0})
	text, err := json.Marshal(&b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"moments":{"count":-1,"sum":0,"squares":1},"quantiles":{"shift":64,"points":"AAE="}}`))
	f.Add([]byte(`{"moments":{"count":2,"sum":9,"squares":1},"quantiles":{"shift":3,"points":"AQEBAQ=="}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var read both
		if json.Unmarshal(text, &read) != nil {
			return
		}
		var again both
		if err := json.Unmarshal([]byte(read.json(t)), &again); err != nil || again.json(t) != read.json(t) {
			t.Fatalf("%s is not read back: %v", text, err)
		}
		if read.Quantiles.Count() > 0 {
			read.Quantiles.At(0.5)
		}
		if read.Moments.Count() > 0 {
			read.Moments.Mean()
			read.Moments.Deviation()
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for name, values := range samples() {
		if len(values) < 1000 {
			continue
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var s both
				s.add(values)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(values)), "ns/value")
		})
	}
}
