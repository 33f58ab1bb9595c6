package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
)

// Rows get what DuckDB's left join gives them, of keys and columns of all types, by any
// number of tasks and reducers that spill, and what has no other side is counted:
// testdata/labels.py says how.
func TestRowsGetTheLabelsOfALeftJoin(t *testing.T) {
	data, err := os.ReadFile("testdata/labels.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Key             string            `json:"key"`
		Types           map[string]string `json:"types"`
		Columns         []string          `json:"columns"`
		Train           []string          `json:"train"`
		Labels          []string          `json:"labels"`
		Rows            [][]*string       `json:"rows"`
		Unmatched       int64             `json:"unmatched"`
		Keyless         int64             `json:"keyless"`
		LabelsUnmatched int64             `json:"labels_unmatched"`
		LabelsKeyless   int64             `json:"labels_keyless"`
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, tasks := range []uint32{1, 2, 3} {
			b := newBatchHalf(t)
			b.shards = uint32(len(c.Train))
			if tasks == 2 {
				b.worker.cfg.CacheBytes = 1
			}
			var declared strings.Builder
			for _, name := range slices.Sorted(maps.Keys(c.Types)) {
				fmt.Fprintf(&declared, "      - {name: %s, type: %s", name, c.Types[name])
				if slices.Contains(c.Columns, name) {
					declared.WriteString(", available_in: [training]")
				}
				declared.WriteString("}\n")
			}
			for dir, files := range map[string][]string{"train": c.Train, "labels": c.Labels} {
				for i, text := range files {
					if _, err := b.lake.Put(t.Context(), fmt.Sprintf("%s/%d.jsonl", dir, i), []byte(text)); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.spec = fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train:
      s3: {path: "s3://lake/train/*.jsonl"}
      format: {type: jsonl}
      label_file: {s3: {path: "s3://lake/labels/*.jsonl"}, format: {type: jsonl}, key: id, columns: [%s]}
  schema:
    columns:
%s
  input_features: [{name: n, type: number}]
  output_features: [{name: late, type: binary}]
`, strings.Join(c.Columns, ", "), declared.String())
			report := b.upTo("clean", tasks)
			if report.Error != "" {
				t.Fatal(report.Error)
			}
			got := map[string]int64{"unmatched": report.Counts["unmatched: label_file"], "keyless": report.Counts["unmatched: label_file, no id"],
				"labels unmatched": b.counts["rows of label_file without a row"], "labels keyless": b.counts["rows of label_file without a key"]}
			if want := map[string]int64{"unmatched": c.Unmatched, "keyless": c.Keyless, "labels unmatched": c.LabelsUnmatched, "labels keyless": c.LabelsKeyless}; !maps.Equal(got, want) {
				t.Errorf("%s by %d tasks: %v, want %v", c.Key, tasks, got, want)
			}
			rows := joinedRows(t, b, c.Columns)
			for _, want := range c.Rows {
				n := *want[0]
				for k, name := range c.Columns {
					wanted := "null"
					if v := want[k+1]; v != nil {
						wanted = *v
					}
					if got := rows[n][name]; got != wanted {
						t.Errorf("%s by %d tasks: row %s has %s %s, want %s", c.Key, tasks, n, name, got, wanted)
					}
				}
			}
			if len(rows) != len(c.Rows) {
				t.Errorf("%s: %d rows, want %d", c.Key, len(rows), len(c.Rows))
			}
		}
	}
}

// joinedRows are the values of cleaned rows by their n, in words.
func joinedRows(t *testing.T, b *batchHalf, names []string) map[string]map[string]string {
	t.Helper()
	d, err := b.worker.openData(t.Context(), b.lease())
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]map[string]string)
	for shard := range d.manifest.Shards {
		for batch, err := range d.cleaned(t.Context(), clean.New(d.plan, pipeline.InTraining), shard, new(pipeline.Report)) {
			if err != nil {
				t.Fatal(err)
			}
			word := func(name string, i int) string {
				a := batch.Column(batch.Schema().FieldIndices(name)[0])
				if a.IsNull(i) {
					return "null"
				}
				switch a := a.(type) {
				case *array.Timestamp:
					return strconv.FormatInt(int64(a.Value(i)), 10)
				case *array.Float64:
					text := strconv.FormatFloat(a.Value(i), 'g', -1, 64)
					if !strings.ContainsAny(text, ".e") {
						text += ".0" // as Python writes it
					}
					return text
				case *array.Dictionary:
					return a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
				}
				return a.ValueStr(i)
			}
			for i := range int(batch.NumRows()) {
				of := make(map[string]string)
				for _, name := range names {
					of[name] = word(name, i)
				}
				rows[word("n", i)] = of
			}
		}
	}
	return rows
}

// apart writes flights as text: whole, and as a file without the delay and one of delays by
// flight, in another order.
func apart(t *testing.T, b *batchHalf) (whole, joined string) {
	t.Helper()
	var labels [2]strings.Builder
	for i := range labels {
		labels[i].WriteString("flight,delay\n")
	}
	for shard := range flightShards {
		var all, rest strings.Builder
		all.WriteString("flight,distance,origin,delay\n")
		rest.WriteString("flight,distance,origin\n")
		for i := range flightRows {
			n := shard*flightRows + i
			row, delay := fmt.Sprintf("f%d,%d,a%d", n, n%7*100+n%31, n%9), n*n%61-n%13
			fmt.Fprintf(&rest, "%s\n", row)
			if n%17 == 0 { // no label
				fmt.Fprintf(&all, "%s,\n", row)
				continue
			}
			fmt.Fprintf(&all, "%s,%d\n", row, delay)
		}
		for dir, text := range map[string]string{"whole": all.String(), "rest": rest.String()} {
			if _, err := b.lake.Put(t.Context(), fmt.Sprintf("%s/%d.csv", dir, shard), []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := flightShards*flightRows - 1; n >= 0; n-- {
		if n%17 != 0 {
			fmt.Fprintf(&labels[n%2], "f%d,%d\n", n, n*n%61-n%13)
		}
	}
	for i := range labels {
		if _, err := b.lake.Put(t.Context(), fmt.Sprintf("labels/%d.csv", i), []byte(labels[i].String())); err != nil {
			t.Fatal(err)
		}
	}
	whole = strings.NewReplacer("s3://lake/flights/*.parquet", "s3://lake/whole/*.csv", "type: parquet", "type: csv",
		"    - {name: gates, type: list}\n", "", "    - {name: first, type: number, expression: \"gates[0]\"}\n", "").Replace(flightSpec)
	return whole, strings.NewReplacer("lake/whole", "lake/rest", "format: {type: csv}}", `format: {type: csv},
      label_file: {s3: {path: "s3://lake/labels/*.csv"}, format: {type: csv}, key: flight, columns: [delay]}}`).Replace(whole)
}

// A model is the same, bit for bit, whether its labels are in the rows or in a file of their
// own, by any number of tasks, by reducers that spill, and by tasks that are done twice. A
// run on the same files finds what was kept, one on other labels does not.
func TestTheModelIsTheSameWithLabelsInAFileOfTheirOwn(t *testing.T) {
	b := newBatchHalf(t)
	whole, joined := apart(t, b)
	b.spec = strings.ReplaceAll(whole, "lake/whole/", "lake/rest/") // by which rows are split
	for shard := range flightShards {
		text, _, err := b.lake.Get(t.Context(), fmt.Sprintf("whole/%d.csv", shard))
		if err == nil {
			_, err = b.lake.Put(t.Context(), fmt.Sprintf("rest/%d.csv", shard), text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want, _, wantCounts := b.all(1)
	for i, tasks := range []uint32{1, 2, flightShards} {
		b := newBatchHalf(t)
		apart(t, b)
		b.spec = joined
		if i == 1 {
			b.worker.cfg.CacheBytes = 1
		}
		b.after = func(stage string) {
			if stage != "shuffle-1" {
				return
			}
			for _, s := range b.plan() { // killed and done again
				if s.Name == stage {
					if again := b.stage(s, tasks); !maps.Equal(again.Outputs, outputsOf(b.inputs, stage)) {
						t.Errorf("done again: %v, before %v", again.Outputs, b.inputs)
					}
				}
			}
		}
		got, _, counts := b.all(tasks)
		if got["model_sha256"] != want["model_sha256"] || got["model_sha256"] == "" {
			t.Errorf("by %d tasks: another model", tasks)
		}
		const null = "dropped: the label is null"
		if n := counts["unmatched: label_file"]; n != int64(flightShards*flightRows+16)/17 || counts[null] != wantCounts[null] || counts[null] == 0 {
			t.Errorf("by %d tasks: %d rows have no label, and %d are dropped of %d", tasks, n, counts[null], wantCounts[null])
		}
		if tasks != 2 {
			continue
		}
		kept := func() (names []string) {
			for info, err := range b.worker.state.List(t.Context(), preparedDir, "") {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, info.Key)
			}
			return names
		}
		before, objects := kept(), b.inputs[stages.ObjectsOutput]
		same := b.again()
		if again, _, _ := same.all(1); again["model_sha256"] != got["model_sha256"] || !slices.Equal(kept(), before) || same.inputs[stages.ObjectsOutput] != objects {
			t.Errorf("a second run: kept %v, before %v", kept(), before)
		}
		if _, err := b.lake.Put(t.Context(), "labels/2.csv", []byte("flight,delay\nf17,500\n")); err != nil {
			t.Fatal(err)
		}
		other := b.again()
		if again, _, counts := other.all(1); again["model_sha256"] == got["model_sha256"] || counts["unmatched: label_file"] != int64(flightShards*flightRows+16)/17-1 ||
			slices.Equal(kept(), before) || other.inputs[stages.ObjectsOutput] == objects {
			t.Errorf("other labels: %v, kept as before: %v", counts, slices.Equal(kept(), before))
		}
	}
}

// outputsOf are the outputs of a stage with several reducers.
func outputsOf(inputs map[string]string, stage string) map[string]string {
	out := make(map[string]string)
	for name, ref := range inputs {
		if strings.HasPrefix(name, stage+"@") {
			out[name] = ref
		}
	}
	return out
}

// A key that two rows of the label file have ends the run, with the key and where it is; two
// rows of the training data may have one.
func TestAKeyThatTwoLabelsHaveIsNamed(t *testing.T) {
	b := newBatchHalf(t)
	_, b.spec = apart(t, b)
	if _, err := b.lake.Put(t.Context(), "labels/2.csv", []byte("flight,delay\nx,\nf3,1\nf5,1\nf3,7\n")); err != nil {
		t.Fatal(err)
	}
	report := b.upTo("clean", 2)
	const want = "more than one row has the same flight, of 2 keys: the first is f3, again in row 1 of labels/2.csv"
	if !strings.Contains(report.Error, want) || !report.Permanent {
		t.Errorf("%s, want %s", report.Error, want)
	}
	b = newBatchHalf(t)
	_, b.spec = apart(t, b)
	if _, err := b.lake.Put(t.Context(), "rest/9.csv", []byte("flight,distance,origin\nf3,1,a1\nf3,2,a2\n")); err != nil {
		t.Fatal(err)
	}
	b.shards = flightShards + 1
	if report := b.upTo("clean", 2); report.Error != "" || report.Counts["unmatched: label_file"] != int64(flightShards*flightRows+16)/17 {
		t.Errorf("%v", report)
	}
}

// Nothing is joined where there are no labels, and where no column is what the spec says.
func TestALabelFileThatDoesNotFitIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"columns: [delay]}}=>columns: [dely]}}":            "there is no column dely (did you mean delay?)",
		"key: flight=>key: fligt":                          "there is no column fligt (did you mean flight?)",
		"columns: [delay]}}=>columns: [delay, distance]}}": "there is no column distance",
		"lake/labels/*=>lake/labels-none/*":                "labels-none/*.csv: no object matches",
	} {
		b := newBatchHalf(t)
		_, b.spec = apart(t, b)
		from, to, _ := strings.Cut(text, "=>")
		if b.spec = strings.Replace(b.spec, from, to, 1); !strings.Contains(b.spec, to) {
			t.Fatal(text)
		}
		if report := b.upTo("profile", 1); !strings.Contains(report.Error, want) {
			t.Errorf("%s: %s, want %s", text, report.Error, want)
		}
	}
	b := newBatchHalf(t)
	_, b.spec = apart(t, b)
	for i := range 2 {
		if _, err := b.lake.Put(t.Context(), fmt.Sprintf("labels/%d.csv", i), []byte("flight,delay,distance\nf1,2,3\n")); err != nil {
			t.Fatal(err)
		}
	}
	b.spec = strings.Replace(b.spec, "columns: [delay]}}", "columns: [delay, distance]}}", 1)
	if report := b.upTo("profile", 1); !strings.Contains(report.Error, "the training data have a column distance too") {
		t.Errorf("%v", report)
	}
}
