package clean

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// numbers are rows of one column.
func numbers(values ...any) [][]any {
	var out [][]any
	for _, v := range values {
		out = append(out, []any{v})
	}
	return out
}

// learnedChain returns what a step makes of rows once it has learnt from others.
func learnedChain(t *testing.T, typ, step string, rows [][]any) func([][]any) ([][]any, *pipeline.Report) {
	_, mem := chainOf(t, columns("c", typ))
	c := newChain(learned(t, planOf(t, columns("c", typ), step), rows), pipeline.InTraining, mem)
	return func(rows [][]any) ([][]any, *pipeline.Report) { return apply(t, c, mem, rows...) }
}

func TestOutliersAreTreatedByTheBoundsOfTheTrainingRows(t *testing.T) {
	inf := math.Inf(1)
	for _, tc := range []struct {
		typ, action     string
		training, other []any
		want            []any
		count           int64
	}{
		// The quartiles are 2 and 4, so that the bounds are 0 and 6.
		{"float64", "clip", []any{1.0, 2.0, 3.0, 4.0, 1e9, nil, math.NaN(), inf}, []any{-1e300, 0.0, 6.0, 6.5, inf, -inf, math.NaN(), nil},
			[]any{0.0, 0.0, 6.0, 6.0, 6.0, 0.0, "NaN", nil}, 4},
		{"float64", "null", []any{1.0, 2.0, 3.0, 4.0, 1e9}, []any{-1.0, 0.5, inf, math.NaN(), nil}, []any{nil, 0.5, nil, "NaN", nil}, 2},
		{"int64", "clip", []any{int64(1), int64(2), int64(3), int64(4), int64(1e9)}, []any{int64(math.MinInt64), int64(0), int64(7), nil}, []any{int64(0), int64(0), int64(6), nil}, 2},
		// The quartiles are 1 and 2.75, so that the bounds are -0.75 and 4.5.
		{"int64", "clip", []any{int64(0), int64(1), int64(2), int64(3), nil, int64(3), int64(1)}, []any{int64(-1), int64(5), int64(6)}, []any{int64(0), int64(4), int64(4)}, 3},
		{"int64", "drop", []any{int64(1), int64(2), int64(3), int64(4), int64(9)}, []any{int64(7), nil, int64(6)}, []any{nil, nil, int64(6)}, 1},
	} {
		clean := learnedChain(t, tc.typ, stepOf(&Outliers{Column: "c", Method: "iqr", Threshold: 1, Action: tc.action}), numbers(tc.training...))
		rows, rep := clean(numbers(tc.other...))
		var want [][]any
		for i, v := range tc.want {
			if tc.action != "drop" || i > 0 {
				want = append(want, []any{v, int64(i)})
			}
		}
		check(t, tc.typ+" "+tc.action, rows, want)
		reason := map[string]string{"clip": "1 outliers c", "null": "1 outliers c to null", "drop": "1 outliers: c is not within 0 to 6"}[tc.action]
		if rep.Changed[reason]+rep.Dropped[reason] != tc.count {
			t.Errorf("%s: counted %v %v, want %d of %s", tc.action, rep.Changed, rep.Dropped, tc.count, reason)
		}
	}
}

func TestBoundsWithoutAWholeNumberBetweenThemAreTheNearest(t *testing.T) {
	clean := learnedChain(t, "int64", stepOf(&Outliers{Column: "c", Method: "zscore", Threshold: 0.1, Action: "clip"}), numbers(int64(0), int64(1), int64(1), int64(0), int64(1)))
	rows, _ := clean(numbers(int64(0), int64(1), int64(9)))
	check(t, "rows", rows, [][]any{{int64(1), int64(0)}, {int64(1), int64(1)}, {int64(1), int64(2)}})
}

func TestOutliersOfExtremesHaveFiniteBounds(t *testing.T) {
	for method := range thresholds {
		clean := learnedChain(t, "float64", stepOf(&Outliers{Column: "c", Method: method, Action: "clip"}), numbers(-math.MaxFloat64, math.MaxFloat64, 5e-324))
		rows, _ := clean(numbers(math.Inf(1), 1.0))
		if v := rows[0][0].(float64); !(v > 0 && v <= math.MaxFloat64) || rows[1][0] != 1.0 {
			t.Errorf("%s: %v", method, rows)
		}
	}
}

func TestOutliersSayWhatIsWrong(t *testing.T) {
	in := columns("s", "string", "f", "float64")
	for want, step := range map[string]string{
		"outliers.column: column s is string: only numbers have outliers":                                                    `{outliers: {column: s, method: iqr, action: clip}}`,
		"outliers.threshold: a quantile is below 0.5 here (0.01 bounds values by the quantiles 0.01 and 0.99)":               `{outliers: {column: f, method: quantile, threshold: 0.5, action: clip}}`,
		"outliers.threshold: 0 is out of range: it must be above 0":                                                          `{outliers: {column: f, method: iqr, threshold: 0, action: clip}}`,
		`outliers.method: "sigma" is not allowed here (one of zscore, iqr, mad, quantile)`:                                   `{outliers: {column: f, method: sigma, action: clip}}`,
		"outliers.apply_to: a step that learns from the training rows applies to them (write apply_to: [training, scoring])": `{outliers: {column: f, method: iqr, action: null, apply_to: [scoring]}}`,
	} {
		_, err := compile(t, "UTC", in, step)
		var all *pipeline.SpecError
		if !errors.As(err, &all) || !strings.Contains(all.Error(), ": spec.preprocessing.clean[0]."+want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Rows that outliers remove are not removed from a stream unless the spec says so.
func TestOutliersAreDroppedFromEventsOnlyIfTheSpecSaysSo(t *testing.T) {
	for phases, dropped := range map[string]int{"": 0, ", apply_to: [training, scoring]": 1} {
		p := planOf(t, columns("c", "float64"), fmt.Sprintf("{outliers: {column: c, method: iqr, action: drop%s}}", phases))
		p = learned(t, p, numbers(1.0, 2.0, 3.0))
		_, mem := chainOf(t, columns("c", "float64"))
		rows, rep := apply(t, newChain(p, pipeline.InScoring, mem), mem, numbers(2.0, 900.0)...)
		if len(rows) != 2-dropped || len(rep.Removed) != dropped {
			t.Errorf("%q: %d rows, %d removed", phases, len(rows), len(rep.Removed))
		}
	}
}

func TestWhatStepsLearnDoesNotDependOnShards(t *testing.T) {
	steps := []string{
		stepOf(&Fill{Columns: []string{"s", "b", "t"}, Strategy: "fill_with_mode"}),
		stepOf(&Fill{Columns: []string{"i"}, Strategy: "fill_with_mean"}),
		stepOf(&Outliers{Column: "f", Method: "zscore", Action: "clip"}),
		stepOf(&Outliers{Column: "f", Method: "mad", Action: "clip"}),
	}
	whole := learned(t, planOf(t, everyType, steps...), trainingRows).Learnt
	parts := learned(t, planOf(t, everyType, steps...), trainingRows[5:], trainingRows[:2], nil, trainingRows[2:5]).Learnt
	check(t, "learnt", string(parts.JSON()), string(whole.JSON()))
}

func TestNothingIsLearntOfAColumnWithoutValues(t *testing.T) {
	for _, step := range []string{
		stepOf(&Fill{Columns: []string{"f"}, Strategy: "fill_with_mean"}),
		stepOf(&Fill{Columns: []string{"f"}, Strategy: "fill_with_mode"}),
		stepOf(&Outliers{Column: "f", Method: "iqr", Action: "clip"}),
	} {
		_, err := learn(t, planOf(t, everyType, step), [][]any{{nil, nil, math.NaN(), nil, nil}, {nil, nil, math.Inf(1), nil, nil}})
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "column f: has no value in the training rows") {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// A column of which half is 0 would be constant after a clip to 0 and 0, and no one
// would know.
func TestBoundsThatLeaveOneValueAreRefused(t *testing.T) {
	for _, method := range []string{"iqr", "mad", "quantile", "zscore"} {
		step := stepOf(&Outliers{Column: "c", Method: method, Threshold: 0.2, Action: "clip"})
		_, err := learn(t, planOf(t, columns("c", "float64"), step), numbers(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0))
		if refused := thalweg.Is(err, thalweg.Invalid) && strings.Contains(err.Error(), "column c: has so many equal values"); refused == (method == "zscore") {
			t.Errorf("%s: %v", method, err)
		}
		if _, err := learn(t, planOf(t, columns("c", "float64"), step), numbers(5.0, 5.0, 5.0)); err != nil {
			t.Errorf("%s of one value: %v", method, err)
		}
	}
}

func TestWhatWasNotLearntByTheStepIsRefused(t *testing.T) {
	for _, tc := range []struct {
		step   pipeline.StepSpec
		learnt string
	}{
		{&Fill{Columns: []string{"i"}, Strategy: "fill_with_mean"}, `{"i":1.5}`},
		{&Fill{Columns: []string{"i"}, Strategy: "fill_with_mean"}, `{"f":1}`},
		{&Fill{Columns: []string{"i"}, Strategy: "fill_with_mean"}, `{"i":null}`},
		{&Fill{Columns: []string{"s"}, Strategy: "fill_with_mode"}, `{"s":1}`},
		{&Outliers{Column: "f", Method: "iqr", Action: "clip"}, `{"lower":2,"upper":1}`},
		{&Outliers{Column: "f", Method: "iqr", Action: "clip"}, `{"lower":2}`},
	} {
		op := planOf(t, everyType, stepOf(tc.step)).Steps[0].Training.(pipeline.Learner)
		if _, err := op.With([]byte(tc.learnt)); err == nil {
			t.Errorf("%T takes %s", tc.step, tc.learnt)
		}
		if _, err := op.Finish([][]byte{[]byte(`[]`)}); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%T takes the partial of another step: %v", tc.step, err)
		}
	}
}

func TestModesOfManyValuesAreRefusedByName(t *testing.T) {
	rows := make([][]any, maxCounted+1)
	for i := range rows {
		rows[i] = []any{fmt.Sprint(i)}
	}
	plan := planOf(t, columns("c", "string"), stepOf(&Fill{Columns: []string{"c"}, Strategy: "fill_with_mode"}))
	if _, err := learn(t, plan, rows[:maxCounted]); err != nil {
		t.Error(err)
	}
	if _, err := learn(t, plan, rows[:maxCounted/2], rows[maxCounted/2:]); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "column c: has more than") {
		t.Error(err)
	}
}
