package evaluation_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// As rows weigh, the label is as frequent in each group as in all, and the mean row weighs 1:
// by one column and by two together, of which the counts come back from their objects.
func TestReweighedLabelsAreAsFrequentInEachGroup(t *testing.T) {
	rows, _, labels := judgedRows()
	for i := range rows {
		rows[i][3] = i%7 < 3
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	second := columns.Columns[3].Name
	for _, sensitive := range [][]string{{"origin"}, {"origin", second}} {
		f := &pipeline.FairnessSpec{Sensitive: sensitive, Remedy: "reweigh"}
		total := make(evaluation.Labels)
		for part := range 2 {
			counts := make(evaluation.Labels)
			if err := counts.ObserveJointly(sensitive, batch, func(row int) int {
				if row%2 != part {
					return -1
				}
				return int(labels[row])
			}); err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(counts)
			var again evaluation.Labels
			if err == nil {
				err = json.Unmarshal(body, &again)
			}
			if err != nil {
				t.Fatal(err)
			}
			total.Merge(again)
		}
		r, err := evaluation.NewReweighing(f, total)
		if err != nil {
			t.Fatal(err)
		}
		weights, err := r.Weigh(batch, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum, ones, all := make(map[string]float64), make(map[string]float64), 0.0
		for i, w := range weights {
			group := rows[i][2].(string)
			if len(sensitive) == 2 && rows[i][3].(bool) {
				group += "!"
			}
			sum[group] += float64(w)
			all += float64(w)
			if labels[i] != 0 {
				ones[group] += float64(w)
			}
			if float64(w) > r.Most() {
				t.Errorf("a row weighs %v of at most %v", w, r.Most())
			}
		}
		if len(sum) != 3*len(sensitive) || math.Abs(all/float64(len(weights))-1) > 1e-6 {
			t.Errorf("%d groups, and the mean row weighs %v", len(sum), all/float64(len(weights)))
		}
		const rate = 196.0 / 400
		for group, n := range sum {
			if math.Abs(ones[group]/n-rate) > 1e-6 {
				t.Errorf("%v: in %s the label is true for %v, want %v", sensitive, group, ones[group]/n, rate)
			}
		}
	}
	total := make(evaluation.Labels)
	if err := total.ObserveJointly([]string{"origin"}, batch, func(row int) int { return int(labels[row]) }); err != nil {
		t.Fatal(err)
	}
	r, err := evaluation.NewReweighing(&pipeline.FairnessSpec{Sensitive: []string{"origin"}}, total)
	if err != nil {
		t.Fatal(err)
	}
	// Of c 130 rows, of which 41 are true, of 400 with 196: 130*196/(400*41).
	if text := r.Table(1 << 20); !strings.Contains(text, "origin=c  130   41      0.7449        1.554") {
		t.Error(text)
	}
	if _, err := evaluation.NewReweighing(&pipeline.FairnessSpec{Sensitive: []string{"origin"}}, evaluation.Labels{"": nil}); !thalweg.Is(err, thalweg.Invalid) {
		t.Error(err)
	}
}

// Groups of one label are named, as no weight makes up for the rows that they lack.
func TestGroupsOfOneLabelAreWarnedOf(t *testing.T) {
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0,
		[]any{int64(1), int64(1), "a", true, int64(1)}, []any{int64(1), int64(1), "a", true, int64(1)}, []any{int64(1), int64(1), "b", true, int64(1)},
		[]any{int64(1), int64(1), "b", true, int64(1)}, []any{int64(1), int64(1), "b", true, int64(1)}, []any{int64(1), int64(1), "c", true, int64(1)})
	defer batch.Release()
	labels := []float32{0, 1, 1, 1, 1, 0}
	of := func(column string) *evaluation.Reweighing {
		counts := make(evaluation.Labels)
		if err := counts.ObserveJointly([]string{column}, batch, func(row int) int { return int(labels[row]) }); err != nil {
			t.Fatal(err)
		}
		r, err := evaluation.NewReweighing(&pipeline.FairnessSpec{Sensitive: []string{column}}, counts)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := of("origin")
	if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "in 2 of 3 groups, origin=b the largest,") {
		t.Error(w)
	}
	if w := of(columns.Columns[3].Name).Warnings(); w != nil {
		t.Error(w)
	}
	weights, err := r.Weigh(batch, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A row of a that is false weighs 2*2/(6*1), one that is true 2*4/(6*1); of b 3*4/(6*3), of c 1*2/(6*1).
	for i, want := range []float64{2. / 3, 4. / 3, 2. / 3, 2. / 3, 2. / 3, 1. / 3} {
		if math.Abs(float64(weights[i])-want) > 1e-6 {
			t.Errorf("row %d weighs %v, want %v", i, weights[i], want)
		}
	}
}
