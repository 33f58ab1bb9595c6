package feature

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func valuedBy(column, name string, options any) pipeline.Feature {
	f := category(column, pipeline.FeatureOptions{Encoder: pipeline.Choice{Name: name, Options: options}})
	f.Name = name + "_" + column
	return f
}

// encodedValues is a plan with every encoder that makes categories numbers.
func encodedValues() *pipeline.Plan {
	most := 2
	few := valuedBy("s", "target", &Target{Folds: 2})
	few.Name, few.Options.MostCommon, few.Options.MissingValueStrategy = "few", &most, fillWithMode
	return planOf(valuedBy("s", "ordinal", new(Ordinal)), valuedBy("i", "frequency", new(Frequency)),
		valuedBy("b", "ordinal", new(Ordinal)), valuedBy("i", "target", &Target{Folds: 5, Smoothing: 10}), few)
}

// labelledRows are rows of values of s and labels, with numbers from 0 on.
func labelledRows(values []any, labels []bool) arrow.Record {
	rows := make([][]any, len(values))
	for i, v := range values {
		rows[i] = []any{v, nil, nil, nil, labels[i]}
	}
	return tabletest.Batch(memory.DefaultAllocator, everyType, 0, rows...)
}

// testdata/values.json is of scikit-learn 1.9.1 and pandas: 600 rows of nine texts with
// labels, drawn with seed 11; of each text OrdinalEncoder's code, value_counts'
// normalised frequency, and what TargetEncoder fitted to all rows makes of it, by smooth.
func TestValuesAreThoseOfScikitLearn(t *testing.T) {
	data, err := os.ReadFile("testdata/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var oracle struct {
		Rows               [][2]any
		Values             []string
		Ordinal, Frequency []float64
		Target             map[string][]float64
		Mean               float64
	}
	if err := json.Unmarshal(data, &oracle); err != nil {
		t.Fatal(err)
	}
	var values []any
	var labels []bool
	for _, row := range oracle.Rows {
		values, labels = append(values, row[0]), append(labels, row[1] == 1.0)
	}
	rows := labelledRows(values, labels)
	judge := func(what string, f pipeline.Feature, want []float64, unknown float64) {
		v := fit(t, planOf(f), rows).Features()[0].Valued
		if math.Abs(v.Numbers[0]-unknown) > 1e-12 {
			t.Errorf("%s of an unknown value is %v, want %v", what, v.Numbers[0], unknown)
		}
		for i, value := range oracle.Values {
			got := v.Numbers[slices.Index(v.Values, value)+1]
			if math.Abs(got-want[i]) > 1e-12 {
				t.Errorf("%s of %q is %v, want %v", what, value, got, want[i])
			}
		}
	}
	judge("rank", valuedBy("s", "ordinal", new(Ordinal)), oracle.Ordinal, -1)
	judge("frequency", valuedBy("s", "frequency", new(Frequency)), oracle.Frequency, 0)
	for smooth, want := range oracle.Target {
		weight, _ := strconv.ParseFloat(smooth, 64)
		judge("label with smoothing "+smooth, valuedBy("s", "target", &Target{Folds: 5, Smoothing: weight}), want, oracle.Mean)
	}
}

// prepared returns prepared rows of a plan, all of one split.
func prepared(t *testing.T, plan *pipeline.Plan, rows arrow.Record, split uint8) arrow.Record {
	t.Helper()
	p, err := NewPreparation(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	splits := make([]uint8, rows.NumRows())
	for i := range splits {
		splits[i] = split
	}
	out, err := p.Apply(rows, splits)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A training row gets what rows of other folds say, any other row what all say.
func TestATrainingRowIsHeldOutOfItsOwnTarget(t *testing.T) {
	const folds, weight = 3, 4.0
	var values []any
	var labels []bool
	for i := range 500 {
		values = append(values, []any{"a", "b", "c", "d", nil}[i*i%7%5])
		labels = append(labels, kernel.Mix(uint64(i))%3 == 0)
	}
	plan := planOf(valuedBy("s", "target", &Target{Folds: folds, Smoothing: weight}))
	rows := labelledRows(values, labels)
	tr := fit(t, plan, rows)
	train, _ := apply(t, tr, prepared(t, plan, rows, 0))
	other, _ := apply(t, tr, prepared(t, plan, rows, 1))
	scored, _ := apply(t, tr, rows)
	check(t, "rows of another split", other.Numbers[0], scored.Numbers[0])
	v := tr.Features()[0].Valued
	for i := range values {
		var n, all, sum, total float64
		for k := range values {
			if heldHash(0, int64(k))%folds == heldHash(0, int64(i))%folds {
				continue
			}
			y := 0.0
			if labels[k] {
				y = 1
			}
			if all, total = all+1, total+y; values[k] == values[i] {
				n, sum = n+1, sum+y
			}
		}
		want := ((sum+weight*total/all)/(n+weight) - v.Shift) * v.Scale
		if math.Abs(float64(train.Numbers[0][i])-want) > 1e-5 {
			t.Fatalf("row %d has %v, want %v", i, train.Numbers[0][i], want)
		}
	}
}

// Labels by chance, of a key that few rows share, cannot be told from the feature that
// training rows have; with the means of all rows they could.
func TestATargetDoesNotLeakTheLabel(t *testing.T) {
	const n = 4000
	values, labels := make([]any, n), make([]bool, n)
	for i := range values {
		values[i], labels[i] = strconv.Itoa(i/2), kernel.Mix(uint64(i)*77)%2 == 0
	}
	plan := planOf(valuedBy("s", "target", &Target{Folds: 5, Smoothing: 1}))
	rows := labelledRows(values, labels)
	tr := fit(t, plan, rows)
	correlation := func(x []float32) float64 {
		var sx, sy, sxx, sxy float64
		for i, v := range x {
			y := 0.0
			if labels[i] {
				y = 1
			}
			sx, sy, sxx, sxy = sx+float64(v), sy+y, sxx+float64(v)*float64(v), sxy+float64(v)*y
		}
		return (sxy/n - sx/n*sy/n) / math.Sqrt((sxx/n-sx/n*sx/n)*(sy/n-sy/n*sy/n))
	}
	train, _ := apply(t, tr, prepared(t, plan, rows, 0))
	all, _ := apply(t, tr, rows)
	if held, leaky := correlation(train.Numbers[0]), correlation(all.Numbers[0]); math.Abs(held) > 0.06 || leaky < 0.6 {
		t.Errorf("the label correlates by %v with the feature of training rows, by %v with that of all", held, leaky)
	}
}

func TestIntegersAreRankedBySize(t *testing.T) {
	f := valuedBy("i", "ordinal", new(Ordinal))
	tr := fit(t, planOf(f), column("i", int64(10), int64(9), int64(-2), nil, int64(100)))
	v := tr.Features()[0].Valued
	got := make(map[string]float64)
	for i, value := range v.Values {
		got[value] = v.Numbers[i+1]
	}
	check(t, "ranks", got, map[string]float64{"-2": 0, "9": 1, "10": 2, "100": 3, "<MISSING>": 4})
}

func TestSumsOfLabelsDoNotDependOnBatches(t *testing.T) {
	var values []any
	var labels []bool
	for i := range 300 {
		values, labels = append(values, strconv.Itoa(i%17)), append(labels, i%3 == 0)
	}
	plan := encodedValues()
	rows := labelledRows(values, labels)
	whole := partial(t, plan, rows)
	if got := partial(t, plan, rows.NewSlice(0, 41), rows.NewSlice(41, 42), rows.NewSlice(42, 300)); string(got) != string(whole) {
		t.Error("other batches give other sums")
	}
	if tr, again := fit(t, plan, rows), fit(t, plan, reencode(rows)); tr.Hash() != again.Hash() {
		t.Error("another dictionary gives another transform")
	}
}

func TestNothingIsKnownOfAnUnknownValueAsANumber(t *testing.T) {
	tr := fit(t, planOf(valuedBy("s", "frequency", new(Frequency))), column("s", "a", "b"))
	a := tr.NewApplier()
	if err := a.Apply(column("s", "a", "z"), new(kernel.Block), nil); err != nil || a.Blank().Has(0) || !a.Blank().Has(1) {
		t.Errorf("blank rows %v, %v", a.Blank(), err)
	}
}
