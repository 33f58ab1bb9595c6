package conformal_test

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/conformal"
)

//go:embed testdata/reference.json
var reference []byte

func TestIntervalsAndSetsAreThoseOfMAPIE(t *testing.T) {
	var all []struct {
		Method          string
		Coverage        float64
		Predictions, At [][]float32
		Labels, Draws   []float32
		Want            [][]float64
	}
	if err := json.Unmarshal(reference, &all); err != nil {
		t.Fatal(err)
	}
	for n, e := range all {
		c := fit(t, conformal.Conformal{Method: e.Method, Coverage: e.Coverage}, e.Predictions, e.Labels, e.Draws)
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		off := 0.0
		for i, prediction := range e.At {
			var got []float64
			if c.Numbers() {
				low, high := c.Interval(prediction)
				got = []float64{low, high}
			} else {
				in := make([]bool, len(prediction))
				c.Set(prediction, in)
				for _, yes := range in {
					got = append(got, map[bool]float64{true: 1}[yes])
				}
			}
			if !slices.EqualFunc(got, e.Want[i], func(a, b float64) bool {
				off = max(off, math.Abs(a-b))
				return math.Abs(a-b) < 1e-9
			}) {
				t.Errorf("case %d, %s of coverage %v, row %d: %v, want %v", n, e.Method, e.Coverage, i, got, e.Want[i])
			}
		}
		t.Logf("%s of coverage %v by %d rows: at most %.3g from MAPIE's, of %d", e.Method, e.Coverage, len(e.Labels), off, len(e.At))
	}
}

// fit finds the quantile of rows; draws may be nil.
func fit(t *testing.T, c conformal.Conformal, predictions [][]float32, labels, draws []float32) *conformal.Conformal {
	t.Helper()
	scores := make([]float64, len(labels))
	for i, y := range labels {
		u := 0.0
		if draws != nil {
			u = float64(draws[i])
		}
		scores[i] = c.Score(predictions[i], y, u)
	}
	out, err := c.Fit(scores)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// truth draws rows whose model is wrong: predictions and labels of a kind.
func truth(random *rand.Rand, method string, n int) (predictions [][]float32, labels, draws []float32) {
	for range n {
		x, u := random.NormFloat64(), float32(random.Float64())
		var p []float32
		var y float32
		switch method {
		case conformal.Absolute:
			p, y = []float32{float32(2 * x)}, float32(2.5*x+random.ExpFloat64())
		case conformal.Quantiles:
			p, y = []float32{float32(x - 0.2), float32(x + 0.3)}, float32(x+math.Abs(x)*random.NormFloat64())
		default:
			weights := []float64{math.Exp(x), math.Exp(-x), math.Exp(random.NormFloat64())}
			total, at := weights[0]+weights[1]+weights[2], random.Float64()
			for _, w := range weights { // sharper than it is
				p = append(p, float32(w*w/(weights[0]*weights[0]+weights[1]*weights[1]+weights[2]*weights[2])))
			}
			for y = 0; y < 2 && at > weights[int(y)]/total; y++ {
				at -= weights[int(y)] / total
			}
		}
		predictions, labels, draws = append(predictions, p), append(labels, y), append(draws, u)
	}
	return predictions, labels, draws
}

// Whatever the model is, as many rows are within as the coverage says: of 400 new ones for each of
// 50 sets of rows to find it in, whose share varies as n and the new ones let it (Vovk 2012),
// within 4 deviations.
func TestTheCoverageIsWhatItSays(t *testing.T) {
	const sets, found, tried = 50, 199, 400
	for _, method := range []string{conformal.Absolute, conformal.Quantiles, conformal.Likelihood, conformal.Cumulative} {
		for _, coverage := range []float64{0.5, 0.9} {
			random := rand.New(rand.NewPCG(5, 6))
			within := 0
			for range sets {
				c := fitDrawn(t, random, conformal.Conformal{Method: method, Coverage: coverage}, found)
				predictions, labels, _ := truth(random, method, tried)
				for i, y := range labels {
					if c.Numbers() {
						low, high := c.Interval(predictions[i])
						if low <= float64(y) && float64(y) <= high {
							within++
						}
						continue
					}
					in := make([]bool, 3)
					if c.Set(predictions[i], in); in[int(y)] {
						within++
					}
				}
			}
			share := float64(within) / (sets * tried)
			t.Logf("%s of coverage %v: %.4f within", method, coverage, share)
			deviation := math.Sqrt(coverage * (1 - coverage) * (1.0/(sets*tried) + 1.0/(sets*(found+2))))
			if share < coverage-4*deviation || method != conformal.Cumulative && share > coverage+4*deviation {
				t.Errorf("%s: %v of rows are within, want %v ± %v", method, share, coverage, deviation)
			}
		}
	}
}

func fitDrawn(t *testing.T, random *rand.Rand, c conformal.Conformal, n int) *conformal.Conformal {
	t.Helper()
	predictions, labels, draws := truth(random, c.Method, n)
	return fit(t, c, predictions, labels, draws)
}

func TestTooFewRowsAreRefusedByHowManyItTakes(t *testing.T) {
	for coverage, least := range map[float64]int{0.5: 1, 0.8: 4, 0.9: 9, 0.95: 19, 0.99: 99, 0.999: 999} {
		if got := conformal.Least(coverage); got != least {
			t.Errorf("%v: at least %d, want %d", coverage, got, least)
		}
		c := conformal.Conformal{Method: conformal.Absolute, Coverage: coverage}
		if _, err := c.Fit(make([]float64, least-1)); err == nil {
			t.Errorf("%v of %d rows", coverage, least-1)
		}
		if _, err := c.Fit(make([]float64, least)); err != nil {
			t.Errorf("%v of %d rows: %v", coverage, least, err)
		}
	}
}

func TestABinaryPredictionHasTheSetOfItsTwoProbabilities(t *testing.T) {
	for _, method := range []string{conformal.Likelihood, conformal.Cumulative} {
		c := conformal.Conformal{Method: method, Coverage: 0.9, Rows: 1, Quantile: 0.7}
		for _, p := range []float32{0, 0.2, 0.5, 0.6, 0.9, 1} {
			one, two := make([]bool, 2), make([]bool, 2)
			c.Set([]float32{p}, one)
			c.Set([]float32{1 - p, p}, two)
			if !reflect.DeepEqual(one, two) {
				t.Errorf("%s of %v: %v, %v", method, p, one, two)
			}
			if a, b := c.Score([]float32{p}, 1, 0.25), c.Score([]float32{1 - p, p}, 1, 0.25); math.Abs(a-b) > 1e-6 {
				t.Errorf("%s of %v: scores %v, %v", method, p, a, b)
			}
		}
	}
	count := conformal.Conformal{Method: conformal.Absolute, Quantile: 3, Positive: true}
	if low, high := count.Interval([]float32{1}); low != 0 || high != 4 {
		t.Errorf("a count is from %v to %v", low, high)
	}
}
