package drift

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/summary"
)

// drawn returns n rows in bins, by the shares of these.
func drawn(random *rand.Rand, shares []float64, n int) Counts {
	c := make(Counts, len(shares))
	for range n {
		x, i := random.Float64(), 0
		for ; i < len(shares)-1 && x >= shares[i]; i++ {
			x -= shares[i]
		}
		c[i]++
	}
	return c
}

// truth returns the distances of distributions.
func truth(p, q []float64) (d Distance) {
	for i := range p {
		d.PSI += (q[i] - p[i]) * math.Log(q[i]/p[i])
		m := (p[i] + q[i]) / 2
		d.JS += (p[i]*math.Log2(p[i]/m) + q[i]*math.Log2(q[i]/m)) / 2
	}
	return d
}

// Intervals have the true distance about as often as they say, with few rows and many, of
// distributions that are the same, a little different, and far apart.
func TestIntervalsHaveTheTrueDistance(t *testing.T) {
	const tries = 200
	same := slices.Repeat([]float64{0.1}, 10)
	for name, c := range map[string]struct{ p, q []float64 }{
		"no change":     {same, same},
		"a few missing": {[]float64{0.01, 0.33, 0.33, 0.33}, []float64{0.04, 0.32, 0.32, 0.32}},
		"a little":      {same, []float64{0.14, 0.06, 0.12, 0.08, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}},
		"much":          {same, []float64{0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(len(name))))
			want := truth(c.p, c.q)
			for _, rows := range [][2]int{{1000, 1000}, {5000, 1000}, {1000, 5000}} {
				psi, js, low := 0, 0, 0
				for range tries {
					e, err := Between(drawn(random, c.p, rows[0]), drawn(random, c.q, rows[1]))
					if err != nil {
						t.Fatal(err)
					}
					in := func(e Estimate, x float64) bool {
						return e.Low <= x+1e-12 && x <= e.High && e.Low <= e.Value && e.Value <= e.High
					}
					if in(e.PSI, want.PSI) {
						psi++
					}
					if in(e.JS, want.JS) {
						js++
					}
					if e.PSI.Low > want.PSI {
						low++
					}
				}
				if psi < tries*91/100 || js < tries*91/100 || low > tries*6/100 {
					t.Errorf("%v rows: of %d intervals %d and %d have %+v, %d are above", rows, tries, psi, js, want, low)
				}
			}
		})
	}
}

// Values in bins, counted in parts, are at the distance that Compare says, but for what
// chance brings.
func TestCountsAreThoseOfAllRowsAndOfTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]*rapid.Generator[any]{
			rapid.OneOf(rapid.Float64().AsAny(), rapid.Just[any](math.NaN()), rapid.Just[any](math.Inf(1)), rapid.Just[any](math.Inf(-1)), rapid.Just[any](nil)),
			rapid.SampledFrom([]any{0.0, 0.0, 1.0, nil, 2.5}),
			rapid.SampledFrom([]any{"", "a", "é", "b", nil}),
		}).Draw(t, "kind")
		values := rapid.SliceOfN(kind, 1, 200).Draw(t, "values")
		d := filled(values)
		r := New(d)
		text := r.Text()
		bin := func(v any) int {
			switch v := v.(type) {
			case float64:
				return r.Number(v)
			case string:
				return text(v)
			}
			return r.MissingBin()
		}
		var whole Counts
		parts := make([]Counts, 3)
		for _, v := range values {
			whole.Add(r.Bins(), bin(v), 1)
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Add(r.Bins(), bin(v), 1)
		}
		var sum Counts
		for _, p := range parts {
			if err := sum.Merge(p); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(sum, whole) || whole.Rows() != r.Rows || len(whole) != r.Bins() {
			t.Fatalf("%v in parts, %v", sum, whole)
		}
		if r.Rows == int64(len(values)) && !reflect.DeepEqual(whole, r.InBins()) {
			t.Fatalf("%v are the reference's, %v are counted", r.InBins(), whole)
		}
		for i := range whole {
			if r.Name(i) == "" && (len(r.Texts) < i || i == 0 || r.Texts[i-1].Text != "") {
				t.Fatalf("bin %d has no name", i)
			}
		}
	})
	var c Counts
	if c.Merge(Counts{1, 2}) != nil || c.Merge(Counts{1}) == nil {
		t.Error("counts of other bins are added")
	}
	if _, err := Between(Counts{1, 2}, Counts{0, 0}); err == nil {
		t.Error("no rows are compared")
	}
	if _, err := Between(Counts{1, 2}, Counts{1, 2, 3}); err == nil {
		t.Error("counts of other bins are compared")
	}
	many := summary.NewTexts()
	for i := range 3000 {
		many.AddText(string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), 1)
	}
	if r := New(many); r.Bins() != 1+summary.Buckets || r.Name(3) != "texts of hash 2" || r.InBins().Rows() != 3000 {
		t.Errorf("%+v", r)
	}
}
