package feature

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
)

func numbers(t *testing.T, f pipeline.Feature, train, rec arrow.Record) []float32 {
	t.Helper()
	b, _ := apply(t, fit(t, planOf(f), train), rec)
	return b.Numbers[0]
}

func TestNormalizations(t *testing.T) {
	train := column("f", 1.0, 3.0, nil)
	rec := column("f", 1.0, 3.0, nil, 4.0, -6.0)
	log := func(x float64) float32 { return float32(math.Copysign(math.Log1p(math.Abs(x)), x)) }
	for name, want := range map[string][]float32{
		"none":   {1, 3, 2, 4, -6},
		"zscore": {-1, 1, 0, 2, -8},
		"minmax": {0, 1, 0.5, 1.5, -3.5},
		"log1p":  {log(1), log(3), log(2), log(4), log(-6)},
		"":       {1, 3, 2, 4, -6},
	} {
		check(t, name, numbers(t, number("f", pipeline.FeatureOptions{Normalization: name}), train, rec), want)
	}
}

func TestAConstantColumnBecomesZero(t *testing.T) {
	for _, name := range []string{"zscore", "minmax"} {
		for _, c := range []float64{0, 7, -1e300, 5e-324} {
			got := numbers(t, number("f", pipeline.FeatureOptions{Normalization: name}), column("f", c, c), column("f", c, nil, 1e308, -1e308))
			for i, x := range got {
				if x != 0 {
					t.Errorf("%s of constant %g: row %d is %v", name, c, i, x)
				}
			}
		}
	}
}

// The rounded sum of most numbers of two decimals is no multiple of them, and
// then neither mean nor deviation is that of a constant.
func TestAConstantHasNoDeviationWhateverItsValueAndCount(t *testing.T) {
	for _, c := range []float64{14.62, 0.1, -3.3, 1.0 / 3, 1e308, 4.9e-320} {
		for _, rows := range []int{3, 10, 1000, 2500} {
			values := make([]any, rows)
			for i := range values {
				values[i] = c
			}
			plan := planOf(number("f", pipeline.FeatureOptions{Normalization: "zscore"}))
			one := partial(t, plan, column("f", values...))
			tr, err := Finish(plan, [][]byte{one, partial(t, plan, column("f", values[:2]...)), one})
			if err != nil {
				t.Fatal(err)
			}
			if m := tr.data.Features[0].Number.Statistics; m.Mean != c || m.M2 != 0 {
				t.Errorf("%d rows of %v have the mean %v and the squares %v", rows, c, m.Mean, m.M2)
			}
			b, _ := apply(t, tr, column("f", c, c+0.01, c-0.01, nil))
			check(t, "numbers", b.Numbers[0], []float32{0, 0, 0, 0})
		}
	}
}

func TestSpreadThatIsRoundingAloneIsNone(t *testing.T) {
	other := math.Nextafter(14.62, 15)
	for _, name := range []string{"zscore", "minmax"} {
		f := number("f", pipeline.FeatureOptions{Normalization: name})
		check(t, name, numbers(t, f, column("f", 14.62, other, 14.62), column("f", 14.62, other, 14.63)), []float32{0, 0, 0})
	}
}

func TestNumbersAreCutAndCounted(t *testing.T) {
	tr := fit(t, planOf(number("f", pipeline.FeatureOptions{Normalization: "zscore"})), column("f", 1.0, 3.0))
	b, rep := apply(t, tr, column("f", 1e300, -1e300, math.Inf(1), math.NaN(), nil, 1e17))
	check(t, "numbers", b.Numbers[0], []float32{MaxNumber, -MaxNumber, 0, 0, 0, 1e17})
	check(t, "clipped", rep.Clipped, map[string]int64{"n_f": 2})
	check(t, "filled", rep.Filled, map[string]int64{"n_f": 3})
}

func TestTheMeanOfNothingIsZero(t *testing.T) {
	check(t, "numbers", numbers(t, number("f", pipeline.FeatureOptions{Normalization: "zscore"}), column("f", nil, math.NaN()), column("f", nil, 2.0)),
		[]float32{0, 2})
}

func TestFillWithConstIsNormalisedToo(t *testing.T) {
	f := number("f", pipeline.FeatureOptions{Normalization: "zscore", MissingValueStrategy: fillWithConst, FillValue: 4})
	check(t, "numbers", numbers(t, f, column("f", 1.0, 3.0, nil), column("f", nil)), []float32{2})
}

func TestIntegersAndBoolsAreNumbers(t *testing.T) {
	check(t, "integers", numbers(t, number("i", pipeline.FeatureOptions{}), column("i", int64(1)), column("i", int64(-3), nil, int64(math.MaxInt64))),
		[]float32{-3, 1, MaxNumber})
	check(t, "bools", numbers(t, number("b", pipeline.FeatureOptions{}), column("b", true, false), column("b", true, nil, false)), []float32{1, 0.5, 0})
}
