package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// A row of any object is in the split that the run put it in, and has its cleaned
// values; one that a step dropped has its place and the reason.
func TestCleanedRowsHaveTheSplitsOfARun(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	const objects, each = 3, 1001
	for k := range objects {
		rows := rowsOf(t, each, "id x city pair y", func(i int) []any {
			x := random.NormFloat64()
			return []any{int64(k*each + i), x, " oslo"[i%2:], []float32{float32(x), 1}, x + random.NormFloat64()}
		})
		if _, err := bucket.Put(t.Context(), fmt.Sprintf("flights/part %d.parquet", k), rows); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	put(t, dir+"/spec.yaml", specOf("parts", `
  input_features: [{name: x, type: number}, {name: city, type: category}, {name: pair, type: list, length: 2}]
  output_features: [{name: y, type: number}]
  preprocessing:
    clean: [{filter: {expression: "id % 7 != 3"}}, {trim: {columns: [city]}}, {outliers: {column: x, method: quantile, threshold: 0.02, action: drop}}]
    split: {type: random, probabilities: [0.6, 0.3, 0.1]}
`))
	said(t, c, "apply", "-f", dir+"/spec.yaml", "--wait")
	res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "parts-1-1"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := command(t, c, "clean", "-f", dir+"/spec.yaml", "--into", dir+"/rows.parquet")
	if want := "3,003 rows in " + dir + "/rows.parquet\n"; err != nil || !strings.Contains(text, want) || !strings.Contains(text, "dropped: 429, 1 filter: id % 7 != 3\n") {
		t.Errorf("%v\n%s", err, text)
	}
	apart := 0 // rows that a step dropped which had to learn
	seen := checkCleaned(t, dir+"/rows.parquet", res.Run.Counts, objects*each)
	for k := range objects {
		for i := range each {
			id := k*each + i
			row := seen[fmt.Sprintf("flights/part %d.parquet %d", k, i)]
			switch {
			case id%7 == 3:
				if row["id"] != nil || row["city"] != nil || row["pair"] != nil || row["_reason"] != "1 filter: id % 7 != 3" {
					t.Fatalf("row %d is %v", id, row)
				}
			case strings.HasPrefix(fmt.Sprint(row["_reason"]), "3 outliers: x is not within -"):
				if apart++; res.Run.Counts["dropped: "+row["_reason"].(string)] == 0 {
					t.Fatalf("row %d is %v, and the run has %v", id, row, res.Run.Counts)
				}
			case row["id"] != int64(id) || row["city"] != "oslo" || row["_reason"] != nil || len(row["pair"].([]any)) != 2:
				t.Fatalf("row %d is %v", id, row)
			}
		}
	}
	if apart < 50 || apart > 200 {
		t.Errorf("%d rows lie apart", apart)
	}
	if _, err := command(t, c, "clean", "-f", dir+"/spec.yaml", "--data", dir+"/none.parquet", "--into", dir+"/other.parquet"); err == nil {
		t.Error("there are no data, and clean has written rows")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("files %v, %v", files, err)
	}
}

// Data tests that would fail a run fail the command, which has written the rows.
func TestCleanTestsTheRows(t *testing.T) {
	dir, c := t.TempDir(), new(embedded.Cluster)
	c.Endpoints.API, c.Endpoints.Store = []string{"127.0.0.1:1"}, "file://"+dir // neither is asked
	put(t, dir+"/rows.parquet", string(rowsOf(t, 300, "id x y", func(i int) []any { return []any{int64(i), float64(i % 10), float64(i)} })))
	for limit, wrong := range map[string]string{
		"10%": "",
		"9%":  "test 1 range x: 29 of 299 rows fail value <= 8, 9.699%: error_if is > 9%; the first is row 9 of object rows.parquet",
	} {
		put(t, dir+"/spec.yaml", specOf("tested", `
  input_features: [{name: x, type: number}]
  output_features: [{name: y, type: number}]
  preprocessing: {clean: [{filter: {expression: "id != 19"}}]}
  tests: [{column: x, range: {max: 8}, error_if: "> `+limit+`"}, {column: id, check: "value < 250", severity: warn}, {column: id, not_null: true}]
`))
		text, err := command(t, c, "clean", "-f", dir+"/spec.yaml", "--data", dir+"/rows.parquet", "--into", dir+"/out.parquet")
		if (wrong == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("> %s: %v", limit, err)
		}
		for _, want := range []string{"300 rows in ", "2 check id     warn      50      16.72%  warned\n", "3 not_null id  error     0       0%      passed\n", "warning: test 2 check id: 50 of 299 rows fail value < 250"} {
			if !strings.Contains(text, want) {
				t.Errorf("> %s: no %q in\n%s", limit, want, text)
			}
		}
		if _, err := localdata.OpenFiles(t.Context(), dir+"/out.parquet", nil); err != nil {
			t.Error(err)
		}
	}
}

// checkCleaned fails unless a file has each row once, in a split of the size that a run
// counted or with a reason, and returns the rows by object and number.
func checkCleaned(t *testing.T, file string, counts map[string]int64, total int) map[string]map[string]any {
	t.Helper()
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen, splits := make(map[string]map[string]any), make(map[string]int64)
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		for i := range int(batch.NumRows()) {
			row := make(map[string]any)
			for k, f := range batch.Schema().Fields() {
				row[f.Name] = tabletest.Value(batch.Column(k), i)
			}
			seen[fmt.Sprintf("%v %v", row["_object"], row["_object_row"])] = row
			splits[row["_split"].(string)]++
			if (row["_split"] == "dropped") != (row["_reason"] != nil) {
				t.Errorf("row %v", row)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != total || local.Manifest.Rows != int64(total) {
		t.Errorf("%d rows, %d of them different, of %d", local.Manifest.Rows, len(seen), total)
	}
	for _, name := range split.Names {
		if splits[name] != counts["rows."+name] || splits[name] == 0 {
			t.Errorf("%d rows of %s, the run has %d", splits[name], name, counts["rows."+name])
		}
	}
	return seen
}

// Rows that cannot be read are left out where the spec says so, however many lie together.
func TestRowsThatAreRejectedAreLeftOutAndSaid(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "a.csv", "distance,late\n1,0\n2,1\n"+strings.Repeat("x,1\n", 200_000)+"3,1\n")
	put(t, "s.yaml", `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: a}
spec:
  sources:
    train: {s3: {path: "s3://lake/a/*.csv"}, format: {type: csv}, on_bad_row: {type: reject, max_rate: 10%}}
  schema: {columns: [{name: distance, type: int64}, {name: late, type: int64}]}
  input_features:
    - {name: distance, type: number}
  output_features:
    - {name: late, type: binary}
`)
	for _, line := range []string{"validate s.yaml --data a.csv", "clean -f s.yaml --data a.csv --into rows.parquet"} {
		out, err := runLine(t, line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, want := range []string{"rejected: 200,000 of 200,003 rows", "line 4,", "warning: a run of these rows fails, as on_bad_row has max_rate 10%"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %s, want %s", line, out, want)
			}
		}
	}
}

// Double rows of several files are dropped but for the one that the spec keeps, as a run
// does it, and validate takes them.
func TestCleanDropsDoubleRows(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "a.csv", "flight,seen,late\n1,5,0\n2,1,1\n,1,0\n1,7,1\n")
	put(t, "b.csv", "flight,seen,late\n1,6,0\n,,1\n2,1,0\n3,1,1\n")
	put(t, "s.yaml", `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: a}
spec:
  sources: {train: {s3: {path: "s3://lake/a/*.csv"}, format: {type: csv}}}
  input_features: [{name: seen, type: number}]
  output_features: [{name: late, type: binary}]
  tests: [{column: late, unique: true, severity: warn}]
  preprocessing:
    clean: [{filter: {expression: "late != null"}}, {dedupe: {keys: [flight], keep: last, by: seen}}, {outliers: {column: seen, method: zscore, threshold: 9, action: clip}}]
    split: {type: random, probabilities: [1, 0, 0]}
`)
	for line, want := range map[string]string{
		"clean -f s.yaml --data *.csv --into rows.parquet":  "dropped: 4, 2 dedupe: another row has the same flight\n",
		"clean -f s.yaml --data *.csv --into again.parquet": "warning: test 1 unique late: 2 of 4 rows fail unique late, 50%: warn_if is > 0; the first is row 2 of object b.csv\n",
		"validate s.yaml --data *.csv":                      "valid",
	} {
		if out, err := runLine(t, line); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	local, err := localdata.OpenFiles(t.Context(), "rows.parquet", nil)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		for i := range int(batch.NumRows()) {
			row := make(map[string]any)
			for k, f := range batch.Schema().Fields() {
				row[f.Name] = tabletest.Value(batch.Column(k), i)
			}
			if row["_reason"] == nil {
				left[fmt.Sprint(row["_object"], " ", row["_object_row"], " ", row["flight"], " ", row["seen"])] = true
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]bool{"a.csv 3 1 7": true, "b.csv 2 2 1": true, "a.csv 2 <nil> 1": true, "b.csv 3 3 1": true}; !maps.Equal(left, want) {
		t.Errorf("%v", left)
	}
}
