package evaluation_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// gated returns the spec with gates.
func gated(t *testing.T, gates ...string) *pipeline.Spec {
	t.Helper()
	return parse(t, "metrics: [roc_auc, log_loss]", "gates: ["+strings.Join(gates, ", ")+"]")
}

// measured is a document of a version whose ROC AUC is 0.7 and log loss 0.5, overall
// and by origin.
func measured() *evaluation.Document {
	about := func(v, half float64) metric.Estimate {
		return metric.Estimate{Value: v, Interval: &[2]float64{v - half, v + half}}
	}
	metrics := map[string]metric.Estimate{"roc_auc": about(0.7, 0.02), "log_loss": about(0.5, 0.01), "rows": {Value: 900}}
	d := &evaluation.Document{Judged: "test", Splits: map[string]evaluation.Measured{"test": {Metrics: metrics}}}
	for i, name := range []string{"JFK", "BOS", "LAX", "SFO", "ORD"} {
		weekend := "true"
		d.Slices = append(d.Slices, evaluation.Slice{Columns: []string{"origin", "weekend"}, Values: []*string{&name, &weekend},
			Metrics: map[string]metric.Estimate{"roc_auc": about(0.7-float64(i)/20, 0.03)}})
	}
	return d
}

func TestGatesSayWhatTheyFound(t *testing.T) {
	champion := &evaluation.Champion{Version: 3, Rows: 900, Changes: map[string]metric.Estimate{
		"roc_auc": {Value: -0.003, Interval: &[2]float64{-0.006, 0.001}}, "log_loss": {Value: 0.002, Interval: &[2]float64{0.001, 0.003}}, "f1": {Value: 0.1}}}
	about := func(v, half float64) metric.Estimate {
		return metric.Estimate{Value: v, Interval: &[2]float64{v - half, v + half}}
	}
	for name, change := range map[string]metric.Estimate{"JFK": about(-0.004, 0.002), "BOS": about(0.001, 0.01)} {
		champion.Slices = append(champion.Slices, evaluation.Slice{Columns: []string{"origin", "weekend"}, Values: []*string{&name, nil},
			Metrics: map[string]metric.Estimate{"roc_auc": change, "accuracy": {Value: 0.1}}})
	}
	champion.TooFew = map[string]int{"origin, weekend": 4, "distance": 9}
	for _, c := range []struct {
		gate     string
		champion *evaluation.Champion
		passed   bool
		found    string
	}{
		{"{metric: roc_auc, lower_bound: 0.69}", nil, true, "is 0.7 (0.68 to 0.72)"},
		{"{metric: roc_auc, lower_bound: 0.69, judge_by: interval}", nil, false, "is 0.7 (0.68 to 0.72)"},
		{"{metric: roc_auc, lower_bound: 0.71}", nil, false, "is 0.7 (0.68 to 0.72)"},
		{"{metric: roc_auc, lower_bound: 0.5, upper_bound: 0.65}", nil, false, "is 0.7 (0.68 to 0.72)"},
		{"{metric: log_loss, upper_bound: 0.5}", nil, true, "is 0.5 (0.49 to 0.51)"},
		{"{metric: log_loss, upper_bound: 0.5, judge_by: interval}", nil, false, "is 0.5 (0.49 to 0.51)"},
		{"{metric: f1, lower_bound: 0.1}", nil, false, "is undefined: there are too few rows"},
		{"{metric: roc_auc, lower_bound: 0.49, slices: [origin, weekend]}", nil, true, "all 5 slices pass"},
		{"{metric: roc_auc, lower_bound: 0.64, slices: [origin, weekend]}", nil, false, "origin=LAX, weekend=true is 0.6 (0.57 to 0.63), origin=SFO, weekend=true is 0.55 (0.52 to 0.58), origin=ORD, weekend=true is 0.5 (0.47 to 0.53), of 5 slices"},
		{"{metric: roc_auc, lower_bound: 0.68, slices: [origin, weekend]}", nil, false, "and 1 more of 5 slices"},
		{"{metric: roc_auc, lower_bound: 0.5, slices: [distance]}", nil, false, "there are no slices by distance"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.0}", nil, true, "there is no champion yet"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.007}", champion, true, "the change from version 3 is -0.003 (-0.006 to 0.001)"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.005}", champion, false, "the change from version 3 is -0.003 (-0.006 to 0.001)"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.005, judge_by: value}", champion, true, "the change"},
		{"{metric: log_loss, versus: champion, max_increase: 0.003}", champion, true, "the change from version 3 is 0.002"},
		{"{metric: log_loss, versus: champion, max_increase: 0.0}", champion, false, "the change from version 3 is 0.002"},
		{"{metric: f1, versus: champion, max_decrease: 0.0}", champion, false, "is 0.1, without an interval: there are too few rows"},
		{"{metric: f1, versus: champion, max_decrease: 0.0, judge_by: value}", champion, true, "is 0.1"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.01, slices: [origin, weekend]}", nil, true, "there is no champion yet"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.01, slices: [origin, weekend]}", champion, true, "the change from version 3: all 2 slices pass; 4 with too few rows cannot be judged"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.008, slices: [origin, weekend]}", champion, false, "version 3: origin=BOS, weekend is missing is 0.001 (-0.009 to 0.011), of 2 slices; 4 with"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.001, slices: [origin, weekend], judge_by: value}", champion, false, "origin=JFK, weekend is missing is -0.004 (-0.006 to -0.002), of 2 slices"},
		{"{metric: accuracy, versus: champion, max_decrease: 0.0, slices: [origin, weekend]}", champion, false, "is 0.1, without an interval: there are too few rows"},
		{"{metric: accuracy, versus: champion, max_decrease: 0.0, slices: [origin, weekend], judge_by: value}", champion, true, "all 2 slices pass"},
		{"{metric: f1, versus: champion, max_decrease: 0.0, slices: [origin, weekend]}", champion, false, "is undefined: there are too few rows"},
		{"{metric: roc_auc, versus: champion, max_decrease: 0.0, slices: [distance]}", champion, false, "there are no slices by distance; 9 with too few rows cannot be judged"},
		{"{metric: roc_auc, versus: champion, max_decrease: 1.0, slices: [distance]}", &evaluation.Champion{Version: 3, Flaw: "version 3 cannot score these rows"}, false, "version 3 cannot score these rows"},
		{"{metric: roc_auc, versus: champion, max_decrease: 1.0}", &evaluation.Champion{Version: 3, Flaw: "version 3 cannot score these rows"}, false, "version 3 cannot score these rows"},
	} {
		d := measured()
		d.Champion = c.champion
		d.Judge(gated(t, c.gate))
		if g := d.Gates[0]; g.Passed != c.passed || !strings.Contains(g.Found, c.found) {
			t.Errorf("%s: %+v", c.gate, g)
		}
		if (d.Rejected() == "") != c.passed {
			t.Errorf("%s: rejected %q", c.gate, d.Rejected())
		}
	}
	d := measured()
	d.Judge(gated(t, "{metric: roc_auc, lower_bound: 0.6}", "{metric: log_loss, upper_bound: 0.4}"))
	if text, want := d.GateTable(1000), "gate                  outcome  found\nroc_auc at least 0.6  passed   is 0.7 (0.68 to 0.72)\nlog_loss at most 0.4  FAILED   is 0.5 (0.49 to 0.51)"; text != want {
		t.Errorf("%s\n%s", text, want)
	}
	if got := d.Rejected(); got != "log_loss at most 0.4: is 0.5 (0.49 to 0.51)" {
		t.Error(got)
	}
}

func TestGatesThatSayNothingAreRefusedByName(t *testing.T) {
	for gate, want := range map[string]string{
		"{metric: rmse, lower_bound: 1}":                                            `metric: a binary output has no "rmse"`,
		"{upper_bound: 0.1}":                                                        "metric: the field is missing (or write fairness)",
		"{fairness: parity, upper_bound: 0.1}":                                      `fairness: "parity" is not allowed here (one of demographic_parity, equal_opportunity)`,
		"{fairness: demographic_parity, upper_bound: 0.1}":                          "fairness: groups are not compared by demographic_parity (add it to evaluation.fairness.metrics)",
		"{fairness: demographic_parity, lower_bound: 0.1}":                          "lower_bound: a gate on fairness has an upper_bound alone",
		"{metric: roc_auc}":                                                         "lower_bound: the field is missing (or write upper_bound, or versus: champion)",
		"{metric: roc_auc, max_decrease: 0.1}":                                      "versus: the field is missing",
		"{metric: roc_auc, versus: champion}":                                       "max_decrease: the field is missing: of roc_auc more is better",
		"{metric: log_loss, versus: champion, max_decrease: 0.1}":                   "max_increase: the field is missing: of log_loss less is better",
		"{metric: roc_auc, versus: champion, max_decrease: 0.1, max_increase: 0.1}": "not both",
		"{metric: roc_auc, versus: champion, max_decrease: -0.1}":                   "max_decrease: -0.1 is",
		"{metric: roc_auc, versus: champion, lower_bound: 0.1}":                     "not both (write two gates)",
		"{metric: roc_auc, versus: last, max_decrease: 0.1}":                        `versus: "last" is not allowed here`,
		"{metric: roc_auc, lower_bound: 0.9, upper_bound: 0.1}":                     "lower_bound: it is above upper_bound",
		"{metric: roc_auc, lower_bound: 0.9, slices: [gate]}":                       "slices: no rows are sliced by gate",
		"{metric: roc_auc, versus: champion, max_decrease: 0.1, slices: [delay]}":   "slices: no rows are sliced by delay",
		"{metric: roc_auc, lower_bound: 0.9, judge_by: luck}":                       `judge_by: "luck" is not allowed here`,
	} {
		_, err := pipeline.Parse(catalog.All(), "spec.yaml", []byte(strings.Replace(specText, "metrics: [roc_auc, log_loss]", fmt.Sprintf("gates: [%s]", gate), 1)))
		if err == nil || !strings.Contains(err.Error(), "spec.evaluation.gates[0]") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", gate, err, want)
		}
	}
}

// What a slice has changed is what it would have if its rows were all there are, and
// the interval is of the difference: two models that err alike tell apart what neither
// could alone.
func TestChangesBySliceArePaired(t *testing.T) {
	spec := gated(t, "{metric: roc_auc, versus: champion, max_decrease: 0.1, slices: [origin, weekend]}")
	ways := evaluation.ComparedWays(spec)
	if len(ways) != 1 || ways[0].Columns[0] != "origin" {
		t.Fatal(ways)
	}
	empty := func() (*metric.Sample, error) {
		return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "number"}, true)
	}
	var all, alone [2]*evaluation.Slices
	for i := range all {
		all[i], alone[i] = evaluation.NewSlices(ways, empty), evaluation.NewSlices(ways, empty)
	}
	random := rand.New(rand.NewPCG(4, 2))
	origins := []string{"JFK", "BOS", "JFK", "LAX"}
	var rows [][]any
	var parts []uint8
	var labels []float32
	var predictions [2][]float32
	for i := range 900 {
		rows = append(rows, []any{int64(1), int64(i), origins[i%3], true, int64(i)})
		parts, labels = append(parts, uint8(random.IntN(metric.Parts))), append(labels, float32(random.NormFloat64()))
		noise := float32(random.NormFloat64())
		predictions[0], predictions[1] = append(predictions[0], labels[i]+noise*1.01), append(predictions[1], labels[i]+noise)
	}
	rows[0][2] = origins[3]
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	pick := func(s *evaluation.Slices, predictions []float32, some func(i int) bool) {
		var which []int
		var p, l []float32
		var q []uint8
		for i := range rows {
			if some(i) {
				which, p, l, q = append(which, i), append(p, predictions[i]), append(l, labels[i]), append(q, parts[i])
			}
		}
		if err := s.Observe(batch, which, p, l, q); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		pick(all[i], predictions[i], func(int) bool { return true })
		pick(alone[i], predictions[i], func(i int) bool { return rows[i][2] == "BOS" })
	}
	changes, err := all[0].Change(all[1])
	if err != nil {
		t.Fatal(err)
	}
	want, err := alone[0].Change(alone[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(changes.Slices) != 2 || changes.TooFew["origin, weekend"] != 1 || len(changes.Skipped) != 1 {
		t.Fatalf("%+v", changes)
	}
	if diff := cmp.Diff(want.Slices[0], changes.Slices[1]); diff != "" {
		t.Error(diff)
	}
	mine, _ := all[0].Measure(spec)
	change, one := changes.Slices[0].Metrics["rmse"], mine.Slices[0].Metrics["rmse"]
	if paired, single := change.Interval[1]-change.Interval[0], one.Interval[1]-one.Interval[0]; paired > single/20 || change.Interval[0] <= 0 {
		t.Errorf("the change is %v, and the metric %v", change, one)
	}
	if _, err := all[0].Change(alone[1]); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("slices of other rows were compared: %v", err)
	}
}

// A gate on fairness goes by the largest difference of the sensitive columns, or by its
// interval.
func TestGatesOnFairnessGoByTheLargestDifference(t *testing.T) {
	d := measured()
	for column, difference := range map[string]float64{"origin": 0.08, "weekend": 0.12} {
		d.Fairness = append(d.Fairness, evaluation.Fairness{Column: column, Gaps: map[string]evaluation.Gap{"demographic_parity": {Difference: difference, Interval: &[2]float64{difference - 0.03, difference + 0.03}}}})
	}
	with := func(gate string) *pipeline.Spec {
		return parse(t, "metrics: [roc_auc, log_loss]", "fairness: {sensitive: [origin]}\n    gates: ["+gate+"]")
	}
	d.Judge(with("{fairness: demographic_parity, upper_bound: 0.13}"))
	d.Judge(with("{fairness: demographic_parity, upper_bound: 0.13, judge_by: interval}"))
	d.Judge(with("{fairness: demographic_parity, upper_bound: 0.1}"))
	d.Judge(with("{fairness: equal_opportunity, upper_bound: 0.1}"))
	for i, want := range []evaluation.Gate{
		{Gate: "demographic_parity difference at most 0.13", Passed: true, Found: "is 0.12 (0.09 to 0.15) by weekend"},
		{Gate: "demographic_parity difference at most 0.13", Found: "is 0.12 (0.09 to 0.15) by weekend"},
		{Gate: "demographic_parity difference at most 0.1", Found: "is 0.12 (0.09 to 0.15) by weekend"},
		{Gate: "equal_opportunity difference at most 0.1"},
	} {
		got := d.Gates[i]
		if want.Found == "" {
			got.Found = strings.TrimSuffix(got.Found, "by "+d.Fairness[0].Column+": fewer than two groups have enough rows")
			want.Found = "is not known "
		}
		if got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}
