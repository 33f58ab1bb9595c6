package evaluation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const specText = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
  input_features:
    - {name: distance, type: number}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  evaluation:
    metrics: [roc_auc, log_loss]
    slices: [{columns: [origin, weekend], min_rows: 2}, {columns: [distance], min_rows: 1}]
`

var columns = table.Schema{Columns: []table.Column{
	{Name: "distance", Type: table.Int64}, {Name: "delay", Type: table.Int64},
	{Name: "origin", Type: table.String, Nullable: true}, {Name: "weekend", Type: table.Bool}, {Name: "date", Type: table.Timestamp}}}

func parse(t *testing.T, edits ...string) *pipeline.Spec {
	t.Helper()
	spec, err := pipeline.Parse(catalog.All(), "spec.yaml", []byte(strings.NewReplacer(edits...).Replace(specText)))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func newSlices(spec *pipeline.Spec) *evaluation.Slices {
	return evaluation.NewSlices(spec.Spec.Evaluation.Slices, func() (*metric.Sample, error) {
		return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
	})
}

// observe shows slices rows of an airport and a day each.
func observe(t *testing.T, s *evaluation.Slices, rows ...[]any) {
	t.Helper()
	var which []int
	var predictions, labels []float32
	var all [][]any
	for i, r := range rows {
		which = append(which, i)
		predictions = append(predictions, float32(i%10)/10)
		labels = append(labels, float32(i%2))
		all = append(all, []any{r[0], int64(i), r[1], r[2], int64(i)})
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, all...)
	defer batch.Release()
	if err := s.Observe(batch, which, predictions, labels, make([]uint8, len(rows))); err != nil {
		t.Fatal(err)
	}
}

func TestSlicesAreOfEqualValuesAndComeBackFromJSON(t *testing.T) {
	spec := parse(t)
	first, second, merged := newSlices(spec), newSlices(spec), newSlices(spec)
	observe(t, first, []any{int64(1), "JFK", true}, []any{int64(2), "JFK", true}, []any{int64(1), nil, false}, []any{int64(2), "1:-", true})
	observe(t, second, []any{int64(1), "JFK", true}, []any{int64(1), nil, false}, []any{int64(3), "JFK", false})
	for _, s := range []*evaluation.Slices{first, second} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := merged.Merge(data); err != nil {
			t.Fatal(err)
		}
	}
	doc := evaluation.Document{Judged: "test"}
	var err error
	if doc.Sliced, err = merged.Measure(spec); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range doc.Slices {
		got = append(got, fmt.Sprint(s.Name(), " ", s.Metrics[metric.Rows].Value))
		if _, ok := s.Metrics[metric.Accuracy]; ok {
			t.Errorf("%s has a metric that nobody asked for: %v", s.Name(), s.Metrics)
		}
	}
	if diff := cmp.Diff([]string{"origin=JFK, weekend=true 3", "origin is missing, weekend=false 2", "distance=1 4", "distance=2 2", "distance=3 1"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2 of 4 slices by origin, weekend have fewer than 2 rows"}, doc.Skipped); diff != "" {
		t.Error(diff)
	}
	doc.Splits = map[string]evaluation.Measured{"test": {Metrics: doc.Slices[0].Metrics}}
	if text := doc.SliceTable(spec, 1000); !strings.HasPrefix(text, "slice ") || strings.Count(text, "\n") != 5 || !strings.Contains(text, "rows  roc_auc  log_loss") {
		t.Error(text)
	}
	large := evaluation.Document{Judged: "test", Splits: doc.Splits, Sliced: evaluation.Sliced{Slices: []evaluation.Slice{{Columns: []string{"distance"}, Values: []*string{nil},
		Metrics: map[string]metric.Estimate{metric.Rows: {Value: 1234567}, metric.LogLoss: {}}}}}}
	if diff := cmp.Diff([]string{"distance", "is", "missing", "1234567", "-", "0"}, strings.Fields(strings.SplitAfter(large.SliceTable(spec, 1000), "\n")[1])); diff != "" {
		t.Error(diff)
	}
	if text := doc.SliceTable(spec, 120); len(text) > 120 || !strings.HasSuffix(text, "…") {
		t.Error(text)
	}
	for _, damaged := range []string{`{`, `[]`, `[{"9:x":{}},null]`, `[{"3:JFK4:true":{}},null]`} {
		if err := newSlices(spec).Merge([]byte(damaged)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", damaged, err)
		}
	}
}

// Whether there are too many values does not depend on who saw which of them.
func TestTooManySlicesAreNoneWhoeverSawThem(t *testing.T) {
	spec := parse(t)
	var rows [][]any
	for i := range 501 {
		rows = append(rows, []any{int64(i), "JFK", true})
	}
	for _, cut := range []int{0, 1, 300, 501} {
		merged := newSlices(spec)
		for _, part := range [][][]any{rows[:cut], rows[cut:]} {
			s := newSlices(spec)
			observe(t, s, part...)
			data, err := json.Marshal(s)
			if err == nil {
				err = merged.Merge(data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		doc, err := merged.Measure(spec)
		if err != nil {
			t.Fatal(err)
		}
		if len(doc.Slices) != 1 || len(doc.Skipped) != 1 || !strings.Contains(doc.Skipped[0], "distance: there are more than 500") {
			t.Errorf("cut at %d: %d slices, %v", cut, len(doc.Slices), doc.Skipped)
		}
	}
}

func TestWhatCannotBeEvaluatedIsRefusedByName(t *testing.T) {
	const above = `"delay > 15"`
	for edit, want := range map[[2]string]string{
		{above, above + ", threshold: {optimize: roc_auc}"}:                 `threshold.optimize: "roc_auc" is not allowed here (one of f1, accuracy)`,
		{above, above + ", threshold: {optimize: f1, value: 0.5}"}:          "threshold: a threshold has a value, or is chosen by optimize, not both",
		{above, above + ", threshold: {}"}:                                  "threshold: it has no value",
		{above, above + ", threshold: {value: 0.5, split: validation}"}:     "threshold.split: a split has no meaning where nothing is chosen",
		{above, above + ", threshold: {optimize: f1, split: test}"}:         `threshold.split: "test" is not allowed here`,
		{above, above + ", threshold: 1.5"}:                                 "threshold.value: 1.5 is",
		{above, above + ", threshold: half"}:                                "threshold.value: a number belongs here",
		{above, above + ", threshold: [0.5]"}:                               "threshold.value: a number belongs here",
		{above, above + ", loss: {type: hinge}, threshold: {optimize: f1}"}: "threshold: a margin has no threshold",
		{above + "}", above + ", threshold: {optimize: f1}}\n  preprocessing: {split: {type: random, probabilities: [0.8, 0.0, 0.2]}}"}: "there are no validation rows to choose it by",
		{"[roc_auc, log_loss]", "[roc_au]"}:                                               `spec.evaluation.metrics[0]: a binary output has no "roc_au" (did you mean roc_auc?)`,
		{"[roc_auc, log_loss]", "[rmse]"}:                                                 `spec.evaluation.metrics[0]: a binary output has no "rmse"`,
		{"min_rows: 2", "min_rows: 0"}:                                                    "spec.evaluation.slices[0].min_rows",
		{"[origin, weekend]", "[]"}:                                                       "spec.evaluation.slices[0].columns",
		{"[origin, weekend]", "[orign]"}:                                                  "spec.evaluation.slices[0].columns[0]",
		{"[origin, weekend]", "[date]"}:                                                   "rows cannot be sliced by column date, which is timestamp",
		{"metrics: [", "fairness: {}\n    metrics: ["}:                                    "spec.evaluation.fairness.sensitive",
		{"metrics: [", "fairness: {sensitive: [date]}\n    metrics: ["}:                   "rows cannot be sliced by column date, which is timestamp",
		{"metrics: [", "fairness: {sensitive: [orign]}\n    metrics: ["}:                  "spec.evaluation.fairness.sensitive[0]",
		{"metrics: [", "fairness: {sensitive: [origin], metrics: [x]}\n    metrics: ["}:   "demographic_parity",
		{"metrics: [", "fairness: {sensitive: [origin], remedy: repair}\n    metrics: ["}: "one of none, reweigh",
		{above + "}\n  evaluation:\n    metrics: [", above + "}\n  preprocessing: {clean: [{balance: {by: origin, method: weights}}]}\n  evaluation:\n    fairness: {sensitive: [origin], remedy: reweigh}\n    metrics: ["}: "fairness.remedy: rows are weighed by balance already",
		{"type: binary, expression: \"delay > 15\"}\n  evaluation:\n    metrics: [roc_auc, log_loss]", "type: number, expression: \"delay\"}\n  evaluation:\n    fairness: {sensitive: [origin]}"}:                           "answers of type number are not compared between groups",
	} {
		spec, err := pipeline.Parse(catalog.All(), "spec.yaml", []byte(strings.Replace(specText, edit[0], edit[1], 1)))
		if err == nil {
			_, err = pipeline.Compile(spec, columns)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", edit[1], err, want)
		}
	}
}
