package evaluation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/evaluation"
)

func TestAConfusionMatrixIsShown(t *testing.T) {
	m := evaluation.Measured{Classes: []string{"a\nb", "", "none of the rows of this class has a short name"}, Confusion: [][]int64{{5, 3, 0}, {0, 0, 0}, {1, 0, 9}}}
	want := [][]string{{`label \ prediction`, "a b", `""`, "none of the rows of this…", "right"},
		{"a b", "5", "3", "0", "62.5 %"}, {`""`, "0", "0", "0", "-"}, {"none of the rows of this…", "1", "0", "9", "90.0 %"}}
	if diff := cmp.Diff(want, m.ConfusionRows()); diff != "" {
		t.Error(diff)
	}
	if text := m.ConfusionTable(1000); !strings.HasPrefix(text, `label \ prediction`) || strings.Count(text, "\n") != 3 || !strings.HasSuffix(text, "90.0 %") {
		t.Error(text)
	}
	// What has no room is the list of confusions.
	if text := m.ConfusionTable(200); !strings.HasPrefix(text, "label  ") || !strings.Contains(text, "37.5 %") || len(text) > 200 {
		t.Error(text)
	}
	if rows := new(evaluation.Measured).ConfusionRows(); rows != nil {
		t.Error(rows)
	}
}

func TestOfManyClassesTheMostFrequentConfusionsAreShown(t *testing.T) {
	var m evaluation.Measured
	for k := range 40 {
		m.Classes = append(m.Classes, fmt.Sprint("c", k))
		counts := make([]int64, 40)
		counts[k], counts[(k+1)%40] = 1000, int64(k)
		m.Confusion = append(m.Confusion, counts)
	}
	rows := m.ConfusionRows()
	if diff := cmp.Diff([][]string{{"label", "prediction", "rows", "of the label's"}, {"c39", "c0", "39", "3.8 %"}, {"c38", "c39", "38", "3.7 %"}}, rows[:3]); diff != "" || len(rows) != 21 {
		t.Errorf("%d rows: %s", len(rows), diff)
	}
}
