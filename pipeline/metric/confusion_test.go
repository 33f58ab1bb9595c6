package metric_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// classSample is an empty sample of so many classes.
func classSample(t *testing.T, classes int, coarse bool) *metric.Sample {
	t.Helper()
	answer := pipeline.Answer{Type: "category"}
	for k := range classes {
		answer.Classes = append(answer.Classes, fmt.Sprint("class ", k))
	}
	s, err := metric.NewSample(metric.Catalog(), answer, coarse)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// takenFor are probabilities by which rows are taken for classes.
func takenFor(taken []int, classes int) []float32 {
	out := make([]float32, len(taken)*classes)
	for i, k := range taken {
		for j := range classes {
			out[i*classes+j] = 0.1 / float32(classes)
		}
		out[i*classes+k] = 0.9
	}
	return out
}

// testdata/confusion.json is scikit-learn's, made by confusion.py beside it. Rows are
// counted in two parts that come back from JSON, as shards are.
func TestTheConfusionMatrixIsThatOfScikitLearn(t *testing.T) {
	data, err := os.ReadFile("testdata/confusion.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Classes int
		Labels  []float32
		Taken   []int
		Cells   [][3]int64
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for _, c := range cases {
		want := make([][]int64, c.Classes)
		for k := range want {
			want[k] = make([]int64, c.Classes)
		}
		for _, cell := range c.Cells {
			want[cell[0]][cell[1]] = cell[2]
		}
		merged, half := classSample(t, c.Classes, false), len(c.Labels)/3
		for _, part := range [][2]int{{0, half}, {half, len(c.Labels)}} {
			s := classSample(t, c.Classes, false)
			observe(s, takenFor(c.Taken[part[0]:part[1]], c.Classes), c.Labels[part[0]:part[1]], part[0])
			data, err := json.Marshal(s)
			if err == nil {
				err = merged.MergeJSON(data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		names, got := merged.Whole().(metric.Detailed).Confusion()
		if diff := cmp.Diff(want, got); diff != "" || len(names) != c.Classes || names[c.Classes-1] != fmt.Sprint("class ", c.Classes-1) {
			t.Errorf("%d classes, %v (-want +got):\n%s", c.Classes, names, diff)
		}
	}
}

// Of very many classes, and of slices, rows are not counted by label and prediction, so
// that what is kept is bounded.
func TestRowsOfTooManyClassesHaveNoConfusionMatrix(t *testing.T) {
	for _, s := range []*metric.Sample{classSample(t, metric.MaxConfused+1, false), classSample(t, 3, true)} {
		observe(s, takenFor([]int{0, 1, 2}, s.Classes()), []float32{0, 2, 2}, 0)
		if names, rows := s.Whole().(metric.Detailed).Confusion(); names != nil || rows != nil {
			t.Errorf("%d classes: %v", len(names), rows)
		}
		if data, err := json.Marshal(s); err != nil || strings.Contains(string(data), "pairs") {
			t.Errorf("%s, %v", data, err)
		}
	}
}

func TestADamagedConfusionMatrixIsRefused(t *testing.T) {
	s := classSample(t, 3, false)
	observe(s, takenFor([]int{0, 1, 2, 1}, 3), []float32{0, 1, 1, 0}, 0)
	good, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const counts = `"pairs":[[0,0,1],[0,1,1],[1,1,1],[1,2,1]]`
	for _, bad := range []string{`"pairs":null`, `"pairs":[[0,0,1],[0,1,1],[1,1,1]]`, `"pairs":[[0,0,1],[0,2,1],[1,1,1],[1,2,1]]`, `"pairs":[[0,0,1],[0,1,1],[1,1,1],[1,3,1]]`,
		`"pairs":[[0,0,1],[0,1,1],[1,1,1],[-1,2,1]]`, `"pairs":[[0,0,1],[0,0,1],[0,1,1],[1,1,1],[1,2,1]]`, `"pairs":[[0,0,1],[0,1,2],[0,2,-1],[1,1,1],[1,2,1]]`} {
		damaged := strings.Replace(string(good), counts, bad, 1)
		if err := classSample(t, 3, false).MergeJSON([]byte(damaged)); err == nil || damaged == string(good) {
			t.Errorf("%s is taken", damaged)
		}
	}
	if err := classSample(t, 3, true).MergeJSON(good); err == nil {
		t.Error("a slice takes counts that it does not have")
	}
}
