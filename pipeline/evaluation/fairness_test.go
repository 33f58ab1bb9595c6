package evaluation_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// judgedRows are 400 rows of three groups with labels and answers, by a congruence that
// the oracle had too.
func judgedRows() (rows [][]any, predictions, labels []float32) {
	state := uint64(1)
	next := func() uint64 {
		state = (state*1103515245 + 12345) % (1 << 31)
		return state >> 16
	}
	for i := range 400 {
		g := "abc"[next()%3]
		p := float64(next()%100) / 100
		y, label := 0.3+0.5*p, float32(0)
		if g == 'c' {
			y = 0.6 * p
		}
		if float64(next()%100)/100 < y {
			label = 1
		}
		answer := float32(0.1)
		if p >= 0.7 || p >= 0.5 && g != 'b' {
			answer = 0.9
		}
		rows = append(rows, []any{int64(1), int64(i), string(g), false, int64(i)})
		predictions, labels = append(predictions, answer), append(labels, label)
	}
	return rows, predictions, labels
}

// The numbers are those of Fairlearn 0.15: demographic_parity_difference and so on, and
// a MetricFrame of selection_rate and true_positive_rate.
func TestFairnessIsWhatFairlearnSays(t *testing.T) {
	spec := parse(t, "metrics: [", "fairness: {sensitive: [origin], min_rows: 1}\n    metrics: [")
	rows, predictions, labels := judgedRows()
	empty := func() *evaluation.Slices {
		return evaluation.NewSlices(evaluation.SensitiveWays(spec), func() (*metric.Sample, error) {
			return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
		})
	}
	total := empty()
	for from := 0; from < len(rows); from += 150 { // of each shard
		to := min(from+150, len(rows))
		batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows[from:to]...)
		var which []int
		for i := range to - from {
			which = append(which, i)
		}
		part := empty()
		if err := part.Observe(batch, which, predictions[from:to], labels[from:to], make([]uint8, to-from)); err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(part)
		if err == nil {
			err = total.Merge(body)
		}
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	all, err := total.Fairness(spec)
	if err != nil || len(all) != 1 || len(all[0].Groups) != 3 || len(all[0].Skipped) > 0 {
		t.Fatalf("%v: %+v", err, all)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, Fairlearn says %v", what, got, want)
		}
	}
	parity, opportunity := all[0].Gaps["demographic_parity"], all[0].Gaps["equal_opportunity"]
	near("demographic_parity_difference", parity.Difference, 0.11097285067873297)
	near("demographic_parity_ratio", *parity.Ratio, 0.7846795434591748)
	near("equal_opportunity_difference", opportunity.Difference, 0.18292682926829273)
	near("equal_opportunity_ratio", *opportunity.Ratio, 0.7321428571428571)
	want := map[string]string{"b": "136 0.588235 0.404412 0.500000", "a": "134 0.559701 0.492537 0.640000", "c": "130 0.315385 0.515385 0.682927"}
	for _, g := range all[0].Groups {
		if got := fmt.Sprintf("%d %.6f %.6f %.6f", g.Rows, g.LabelRate, g.SelectionRate, *g.TruePositiveRate); got != want[*g.Value] {
			t.Errorf("%s: %s, want %s", *g.Value, got, want[*g.Value])
		}
	}
	table := evaluation.FairnessTable(all, 1<<20)
	if !strings.Contains(table, "demographic_parity by origin  difference 0.111") || !strings.Contains(table, "origin=b") {
		t.Error(table)
	}
}

func TestGroupsThatAreTooSmallAreNotCompared(t *testing.T) {
	spec := parse(t, "metrics: [", "fairness: {sensitive: [origin], min_rows: 131}\n    metrics: [")
	rows, predictions, labels := judgedRows()
	s := evaluation.NewSlices(evaluation.SensitiveWays(spec), func() (*metric.Sample, error) {
		return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
	})
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	var which []int
	for i, row := range rows {
		if row[2] != "a" {
			which = append(which, i)
		}
	}
	if err := s.Observe(batch, which, predictions[:len(which)], labels[:len(which)], make([]uint8, len(which))); err != nil {
		t.Fatal(err)
	}
	all, err := s.Fairness(spec)
	if err != nil || len(all[0].Groups) != 1 || len(all[0].Gaps) > 0 || len(all[0].Skipped) != 3 {
		t.Errorf("%v: %+v", err, all)
	}
}

func TestLabelsAreCountedByGroupBeforeTraining(t *testing.T) {
	rows, _, labels := judgedRows()
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	var parts [2]evaluation.Labels
	for i := range parts {
		parts[i] = make(evaluation.Labels)
		if err := parts[i].Observe([]string{"origin", "delay"}, batch, func(row int) int {
			if row%2 != i {
				return -1
			}
			return int(labels[row])
		}); err != nil {
			t.Fatal(err)
		}
	}
	total := make(evaluation.Labels)
	for _, p := range parts { // as they come back from their objects
		body, err := json.Marshal(p)
		var again evaluation.Labels
		if err == nil {
			err = json.Unmarshal(body, &again)
		}
		if err != nil {
			t.Fatal(err)
		}
		total.Merge(again)
	}
	want := [][2]int64{{134, 75}, {136, 80}, {130, 41}}
	if diff := cmp.Diff(want, [][2]int64{total["origin"]["1:a"], total["origin"]["1:b"], total["origin"]["1:c"]}); diff != "" {
		t.Error(diff)
	}
	table, warnings := total.Table(&pipeline.FairnessSpec{Sensitive: []string{"origin"}, MinRows: 100}, 1<<20)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "labels are uneven by origin before training: 0.3154 of the rows with origin=c are true, and 0.5882 of those with origin=b") || !strings.Contains(table, "origin=a  134   75      0.5597") {
		t.Errorf("%s\n%v", table, warnings)
	}
	if _, warnings = total.Table(&pipeline.FairnessSpec{Sensitive: []string{"origin"}, MinRows: 135}, 1<<20); len(warnings) != 1 || !strings.Contains(warnings[0], "2 of 3 groups by origin have fewer than 135 training rows") {
		t.Error(warnings)
	}
	if total["delay"] != nil { // 400 values, and no more than 500
		total.Merge(evaluation.Labels{"delay": nil})
	}
	if _, warnings = total.Table(&pipeline.FairnessSpec{Sensitive: []string{"delay"}, MinRows: 1}, 1<<20); len(warnings) != 1 || !strings.Contains(warnings[0], "more than 500 different values") {
		t.Error(warnings)
	}
}

// Groups in which no label is true have no true positive rate, and it is said that they
// are not compared.
func TestGroupsWithoutTrueLabelsAreSaidToBeLeftOut(t *testing.T) {
	spec := parse(t, "metrics: [", "fairness: {sensitive: [origin], min_rows: 1}\n    metrics: [")
	rows, predictions, labels := judgedRows()
	s := evaluation.NewSlices(evaluation.SensitiveWays(spec), func() (*metric.Sample, error) {
		return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
	})
	var which []int
	for i, row := range rows {
		which = append(which, i)
		if row[2] == "c" {
			labels[i] = 0
		}
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	if err := s.Observe(batch, which, predictions, labels, make([]uint8, len(which))); err != nil {
		t.Fatal(err)
	}
	all, err := s.Fairness(spec)
	if err != nil || len(all[0].Gaps) != 2 || len(all[0].Skipped) != 1 || all[0].Skipped[0] != "equal_opportunity by origin leaves out 1 of 3 groups, in which no label is true" {
		t.Errorf("%v: %+v", err, all)
	}
}

// A value that is no UTF-8 is a group as others are, also once it was kept as JSON.
func TestAGroupWhoseNameIsNoUTF8IsCounted(t *testing.T) {
	spec := parse(t, "metrics: [", "fairness: {sensitive: [origin], min_rows: 1}\n    metrics: [")
	empty := func() *evaluation.Slices {
		return evaluation.NewSlices(evaluation.SensitiveWays(spec), func() (*metric.Sample, error) {
			return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
		})
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, []any{int64(1), int64(0), "a\xff\xfe", false, int64(0)}, []any{int64(1), int64(1), "b", false, int64(1)})
	defer batch.Release()
	part, total := empty(), empty()
	if err := part.Observe(batch, []int{0, 1}, []float32{1, 0}, []float32{1, 0}, make([]uint8, 2)); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(part)
	if err == nil {
		err = total.Merge(body)
	}
	all, failed := total.Fairness(spec)
	if err != nil || failed != nil || len(all) != 1 || len(all[0].Groups) != 2 {
		t.Fatalf("%v, %v: %+v", err, failed, all)
	}
	labels := make(evaluation.Labels)
	if err := labels.Observe([]string{"origin"}, batch, func(row int) int { return 1 - row }); err != nil {
		t.Fatal(err)
	}
	body, err = json.Marshal(labels)
	var again evaluation.Labels
	if err == nil {
		err = json.Unmarshal(body, &again)
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := again.Table(&pipeline.FairnessSpec{Sensitive: []string{"origin"}, MinRows: 1}, 1<<20); !strings.Contains(text, "a\uFFFD") {
		t.Error(text)
	}
}

// The interval of a difference is Newcombe's tenth method, for 56 of 70 and 48 of 80 rows as in
// his table II.
func TestTheIntervalOfADifferenceIsNewcombes(t *testing.T) {
	spec := parse(t, "metrics: [", "fairness: {sensitive: [origin], min_rows: 1}\n    metrics: [")
	var rows [][]any
	var predictions []float32
	for i := range 150 {
		group, answer := "a", float32(0)
		if i >= 70 {
			group = "b"
		}
		if i < 56 || i >= 70 && i < 118 {
			answer = 1
		}
		rows, predictions = append(rows, []any{int64(1), int64(i), group, false, int64(i)}), append(predictions, answer)
	}
	s := evaluation.NewSlices(evaluation.SensitiveWays(spec), func() (*metric.Sample, error) {
		return metric.NewSample(spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5}, true)
	})
	which, labels := make([]int, 150), make([]float32, 150)
	for i := range which {
		which[i], labels[i] = i, float32(i%2)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	if err := s.Observe(batch, which, predictions, labels, make([]uint8, 150)); err != nil {
		t.Fatal(err)
	}
	all, err := s.Fairness(spec)
	if err != nil {
		t.Fatal(err)
	}
	if gap := all[0].Gaps["demographic_parity"]; fmt.Sprintf("%.4f %.4f %.4f", gap.Difference, gap.Interval[0], gap.Interval[1]) != "0.2000 0.0524 0.3339" {
		t.Errorf("%+v", gap)
	}
}
