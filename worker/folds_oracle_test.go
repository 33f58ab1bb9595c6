package worker

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/folds.csv; then run folds.py")

// tableSpec cross-validates the table of testdata/folds.csv.
func tableSpec(output string) string {
	return `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources: {train: {s3: {path: "s3://lake/folds/*.csv"}, format: {type: csv}}}
  schema: {columns: [{name: x, type: float64}, {name: city, type: string}, {name: y, type: float64}, {name: kind, type: string}]}
  preprocessing: {split: {type: random, folds: 4, probabilities: [0.8, 0, 0.2]}}
  input_features: [{name: x, type: number}, {name: city, type: category}]
  output_features: [` + output + `]
  trainer: {optimizer: {type: lbfgs, tolerance: 1.0e-10}, epochs: 300, regularization: {l2: 0}, distributed: {replicas: 2}}
`
}

// foldTable returns rows of which the labels are not quite what the features say, with
// missing numbers.
func foldTable() string {
	random := rand.New(rand.NewPCG(11, 12))
	var text strings.Builder
	text.WriteString("x,city,y,kind,fold\n")
	for range 500 {
		x, city := 2+3*random.NormFloat64(), random.IntN(4)
		y := 0.3*x + float64(city)/2 - 1 + random.NormFloat64()
		kind := "abc"[min(2, max(0, int(y+random.NormFloat64()+1)))]
		number := fmt.Sprintf("%.4f", x)
		if random.IntN(10) == 0 {
			number = ""
		}
		fmt.Fprintf(&text, "%s,%s,%.4f,%c,0\n", number, []string{"Oslo", "Riga", "Bonn", "Århus"}[city], y, kind)
	}
	return text.String()
}

// withFolds returns a table with the folds of its rows; 0: none.
func (b *batchHalf) withFolds(text string) string {
	b.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range rows[1:] {
		row[4] = "0"
	}
	for fold := 1; fold <= 4; fold++ {
		for number := range b.heldOut(0, fold) {
			rows[1+number][4] = fmt.Sprint(fold)
		}
	}
	var out strings.Builder
	if err := csv.NewWriter(&out).WriteAll(rows); err != nil {
		b.t.Fatal(err)
	}
	return out.String()
}

// tolerance is about what a pair of rows in the other order changes of an area under a
// curve.
const tolerance = 5e-4

// On the same folds, models and metrics are those of scikit-learn: testdata/folds.py says
// how.
func TestFoldsAreThoseOfScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/folds.csv")
	if *update {
		text, err = []byte(foldTable()), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/folds.json")
	if err != nil && !*update {
		t.Fatal(err)
	}
	var want map[string]map[string][]float64
	if err := json.Unmarshal(data, &want); err != nil && !*update {
		t.Fatal(err)
	}
	for name, output := range map[string]string{
		"binary":   `{name: out, type: binary, expression: "y > 0.5"}`,
		"category": `{name: out, type: category, expression: "kind"}`,
		"number":   `{name: out, type: number, expression: "y"}`,
	} {
		b := newBatchHalf(t)
		b.shards, b.spec = 1, tableSpec(output)
		if _, err := b.lake.Put(t.Context(), "folds/rows.csv", text); err != nil {
			t.Fatal(err)
		}
		if report := b.upTo("cross_validate", 1); report.Error != "" {
			t.Fatal(report.Error)
		}
		if table := b.withFolds(string(text)); *update {
			if err := os.WriteFile("testdata/folds.csv", []byte(table), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if table != string(text) {
			t.Error("the rows are in other folds than those of testdata/folds.csv")
		}
		folds := b.folds().Folds
		for metric, values := range want[name] {
			for i, v := range values {
				if got := folds[i].Metrics[metric]; math.Abs(got-v) > tolerance*max(1, math.Abs(v)) {
					t.Errorf("%s: %s of fold %d is %v, that of scikit-learn %v", name, metric, i+1, got, v)
				}
			}
		}
		if len(want[name]) < 2 && !*update {
			t.Errorf("%s: %d metrics", name, len(want[name]))
		}
	}
}
