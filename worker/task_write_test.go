package worker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// writeSpec cleans orders; STEPS and MORE stand for what a test adds.
const writeSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train: {s3: {path: "s3://lake/orders/*.csv"}, format: {type: csv}, on_bad_row: {type: reject, max_rate: 1%}}
  schema:
    columns: [{name: id, type: int64}, {name: day, type: timestamp}, {name: amount, type: int64}, {name: note, type: string}]
  tests:
    - {column: amount, check: "value < 1000", error_if: "> 10%"}
  preprocessing:
    clean:
      - {filter: {expression: "amount == null || amount >= 0"}}
      STEPS
  output: {s3: {path: "s3://lake/clean/orders/"}, partition_by: [day] MORE}
`

// orders are the rows of an object: some without an amount, some negative, some whose id an
// object before has, days and texts of all kinds.
func orders(object, rows int) string {
	text := "id,day,amount,note\n"
	for i := range rows {
		amount := fmt.Sprint((i*37+object)%300 - 10)
		if i%11 == 5 {
			amount = ""
		}
		day := fmt.Sprintf("2026-01-%02dT%02d:00:00Z", 1+i%4, i%24)
		if i%50 == 49 {
			day = ""
		}
		text += fmt.Sprintf("%d,%s,%s,é %d\n", (object*rows+i)/(1+i%2), day, amount, i%3)
	}
	return text
}

// ordersOf returns a batch half that cleans orders of so many objects.
func ordersOf(t *testing.T, steps, more string) *batchHalf {
	t.Helper()
	b := newBatchHalf(t)
	b.spec = strings.NewReplacer("STEPS", steps, "MORE", more).Replace(writeSpec)
	for i := range flightShards {
		b.put("orders/"+fmt.Sprint(i)+".csv", orders(i, 400))
	}
	return b
}

func (b *batchHalf) put(key, body string) {
	b.t.Helper()
	if _, err := b.lake.Put(b.t.Context(), key, []byte(body)); err != nil {
		b.t.Fatal(err)
	}
}

// write carries out a run, by so many tasks, up to its end or a failure.
func (b *batchHalf) write(tasks uint32) (report *apiv1.TaskReport) {
	b.t.Helper()
	b.inputs = map[string]string{}
	for _, stage := range b.plan() {
		report = b.reported(stage, tasks)
		maps.Copy(b.inputs, report.Outputs)
		if stage.Name == "profile" {
			b.shards = uint32(report.Counts["shards"])
		}
		if report.Error != "" || report.Outputs[stages.EndOutput] != "" {
			break
		}
	}
	return report
}

// written returns the rows of the table as its log says, by id, and the days of its files.
func (b *batchHalf) written(prefix string) (rows map[string][]string, days []string) {
	b.t.Helper()
	log := delta.New(b.lake, prefix)
	s, err := log.Load(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	rows = make(map[string][]string)
	for add, err := range log.Files(b.t.Context(), s) {
		if err != nil {
			b.t.Fatal(err)
		}
		body, _, err := b.lake.Get(b.t.Context(), prefix+add.Path)
		if err != nil {
			b.t.Fatal(err)
		}
		day := "null"
		if v := add.PartitionValues["day_date"]; v != nil {
			day = *v
		}
		days = append(days, day)
		for rec, err := range engine.Records(add.Path, body, []string{"id", "day", "amount", "note"}, nil) {
			if err != nil {
				b.t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				id := rec.Column(0).ValueStr(i)
				at := rec.Column(1).ValueStr(i)
				if rec.Column(1).IsValid(i) && !strings.HasPrefix(at, day) || rec.Column(1).IsNull(i) && day != "null" {
					b.t.Errorf("row %s of %s is in a file of %s", id, at, day)
				}
				rows[id] = append(rows[id], fmt.Sprint(at[:min(10, len(at))], " ", rec.Column(2).ValueStr(i), " ", rec.Column(3).ValueStr(i)))
			}
		}
	}
	slices.Sort(days)
	return rows, slices.Compact(days)
}

// wantedOrders are the rows that a filter leaves, and those that it drops.
func wantedOrders(objects ...string) (rows map[string][]string, dropped int64) {
	rows = make(map[string][]string)
	for _, text := range objects {
		for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
			cells := strings.Split(line, ",")
			if strings.HasPrefix(cells[2], "-") {
				dropped++
				continue
			}
			for i := range cells {
				if cells[i] == "" {
					cells[i] = array.NullValueStr
				}
			}
			rows[cells[0]] = append(rows[cells[0]], fmt.Sprint(cells[1][:min(10, len(cells[1]))], " ", cells[2], " ", cells[3]))
		}
	}
	return rows, dropped
}

func sameRows(a, b map[string][]string) bool {
	for _, of := range []map[string][]string{a, b} {
		for _, rows := range of {
			slices.Sort(rows)
		}
	}
	return maps.EqualFunc(a, b, slices.Equal)
}

// Each row that cleaning leaves is once in the table, in a file of its day, whatever the
// number of tasks and however often they are done; bytes are the same.
func TestEachCleanedRowIsOnceInTheTable(t *testing.T) {
	var first map[string]string
	for _, tasks := range []uint32{1, 3, flightShards} {
		b := ordersOf(t, "", "")
		report := b.write(tasks)
		var texts []string
		for i := range flightShards {
			texts = append(texts, orders(i, 400))
		}
		want, dropped := wantedOrders(texts...)
		rows, days := b.written("clean/orders/")
		if report.Error != "" || !sameRows(rows, want) {
			t.Fatalf("%v: %d ids, not %d", report, len(rows), len(want))
		}
		if !slices.Equal(days, []string{"2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "null"}) {
			t.Errorf("days %v", days)
		}
		c := report.Counts
		if c["rows_in"] != 4*400 || c["rows_out"] != 4*400-dropped || c["dropped: 1 filter: amount == null || amount >= 0"] != dropped || c["failed: test 1 check amount"] != 0 {
			t.Errorf("counts %v", c)
		}
		objects := b.objects("clean/orders/")
		delete(objects, "clean/orders/_manifest.json")
		if first == nil {
			first = objects
		}
		if !maps.Equal(objects, first) {
			t.Errorf("by %d tasks other objects", tasks)
		}
		// What a run that was killed left is made whole, with the same bytes.
		for key := range objects {
			if strings.Contains(key, "/data/") {
				if err := b.lake.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		report = b.write(2)
		again := b.objects("clean/orders/")
		delete(again, "clean/orders/_manifest.json")
		if report.Error != "" || report.Outputs["table"] != "s3://lake/clean/orders/ version 0, which has these rows already" || !maps.Equal(again, first) {
			t.Errorf("made whole: %v", report)
		}
	}
}

// A run on the same objects cleans nothing and makes no version; on others it cleans only
// those, unless a step looks at other rows, and the manifest tells what was read.
func TestOnlyObjectsThatChangedAreCleanedAgain(t *testing.T) {
	for name, of := range map[string]struct {
		steps string
		kept  int64 // of the four objects, when one changes
	}{
		"alone":    {"", 3},
		"learning": {"- {fill: {columns: [amount], strategy: fill_with_mean}}", 0},
		"dedupe":   {"- {dedupe: {keys: [id], keep: first}}", 0},
	} {
		b := ordersOf(t, of.steps, "")
		if report := b.write(2); report.Error != "" {
			t.Fatalf("%s: %v", name, report)
		}
		before := b.objects("clean/orders/")
		report := b.write(3)
		if want := "nothing new: s3://lake/clean/orders/ version 0 was written from the same objects, 4 in all"; report.Outputs[stages.EndOutput] != want || report.Counts["rows_out"] == 0 {
			t.Errorf("%s again: %v", name, report)
		}
		if after := b.objects("clean/orders/"); !strings.Contains(after["clean/orders/_table.json"], "flights-1-1") || len(after) != len(before) {
			t.Errorf("%s again: other objects", name)
		}
		changed := orders(7, 200) + strings.Repeat("9000,,290,x\n", 100)
		b.put("orders/1.csv", changed)
		report = b.write(1)
		if report.Error != "" || report.Outputs["table"] != "s3://lake/clean/orders/ version 1" {
			t.Fatalf("%s changed: %v", name, report)
		}
		if n := b.counts["write kept"]; n != of.kept {
			t.Errorf("%s changed: %d shards are kept, not %d", name, n, of.kept)
		}
		table := &product.Table{Place: storage.Place{Bucket: b.lake, Name: "lake", Prefix: "clean/orders/"}}
		m, err := table.Current(t.Context())
		if err != nil || m == nil || m.Version != 1 || len(m.Objects) != 4 || m.Objects[1].Rows != 300 || m.Objects[1].ETag == "" || len(m.Objects[1].Parts) != 1 || m.Counts["rows_out"] == 0 {
			t.Errorf("%s: %v, %+v", name, err, m)
		}
		if of.steps == "" {
			want, _ := wantedOrders(orders(0, 400), changed, orders(2, 400), orders(3, 400))
			if rows, _ := b.written("clean/orders/"); !sameRows(rows, want) {
				t.Errorf("%s: other rows", name)
			}
		}
		// One object fewer.
		if err := b.lake.Delete(t.Context(), "orders/3.csv"); err != nil {
			t.Fatal(err)
		}
		if report = b.write(1); report.Outputs["table"] != "s3://lake/clean/orders/ version 2" {
			t.Errorf("%s removed: %v", name, report)
		}
	}
}

// Where data tests or too many bad rows fail a run, the table stays as it was.
func TestATableStaysAsItWasWhereItsRowsAreRefused(t *testing.T) {
	b := ordersOf(t, "", "")
	if report := b.write(1); report.Error != "" {
		t.Fatal(report)
	}
	before := b.objects("clean/orders/data/")
	for want, text := range map[string]string{
		"rows fail value < 1000":                   "id,day,amount,note\n" + strings.Repeat("1,,5000,x\n", 400),
		"rows cannot be read and are left out, 20": strings.Repeat(orders(0, 1), 1) + strings.Repeat("1,,many,x\n", 400),
	} {
		b.put("orders/9.csv", text)
		report := b.write(2)
		if !report.Permanent || !strings.Contains(report.Error, want) {
			t.Errorf("%v, want %s", report, want)
		}
		log, err := delta.New(b.lake, "clean/orders/").Load(t.Context())
		if err != nil || log.Version != 0 {
			t.Errorf("version %v, %v", log, err)
		}
		for key := range before {
			if b.objects(key)[key] != before[key] {
				t.Errorf("%s has changed", key)
			}
		}
	}
	// A few bad rows are left out, counted and listed.
	b.put("orders/9.csv", orders(0, 3)+"1,,many,x\n")
	report := b.write(2)
	if report.Error != "" || report.Counts["rows_rejected"] != 1 || !strings.Contains(report.Outputs["bad_rows"], "all of them in s3://lake/clean/orders/_rejects/*.jsonl") {
		t.Errorf("a bad row: %v", report)
	}
	listed := ""
	for _, body := range b.objects("clean/orders/_rejects/") {
		listed += body
	}
	if !strings.Contains(listed, `"object":"orders/9.csv","row":3,"line":5,`) || !strings.Contains(listed, `"text":"1,,many,x"`) {
		t.Errorf("listed are %s", listed)
	}
}

// Columns are those that are named, and splits those of training.
func TestTheTableHasTheColumnsThatAreNamed(t *testing.T) {
	b := ordersOf(t, "", `, columns: {exclude: [note], split: true}, format: {type: parquet, compression: snappy}`)
	b.spec = strings.Replace(b.spec, "  output:", "    split: {type: hash, column: id, probabilities: [0.5, 0.25, 0.25]}\n  output:", 1)
	report := b.write(2)
	s, err := delta.New(b.lake, "clean/orders/").Load(t.Context())
	if report.Error != "" || err != nil {
		t.Fatal(report, err)
	}
	var names []string
	for _, f := range s.Schema {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "id day amount _split day_date" {
		t.Errorf("columns %s", got)
	}
}

// A run that reads a table reads each row of its newest version once, whatever files of
// versions before lie there, and finds nothing new while the version is the same.
func TestARunReadsTheNewestVersionOfATable(t *testing.T) {
	b := ordersOf(t, "", "")
	for _, object := range []string{orders(1, 400), orders(7, 300)} {
		b.put("orders/1.csv", object)
		if report := b.write(1); report.Error != "" {
			t.Fatal(report)
		}
	}
	want, _ := b.written("clean/orders/")
	i := strings.Index(b.spec, "  sources:")
	b.spec = b.spec[:i] + `  sources: {train: {s3: {path: "s3://lake/clean/orders/"}, format: {type: delta}}}
  output: {s3: {path: "s3://lake/copy/"}, columns: {exclude: [day_date]}, partition_by: [day]}
`
	report := b.write(2)
	if rows, _ := b.written("copy/"); report.Error != "" || len(want) == 0 || !sameRows(rows, want) {
		t.Fatalf("%v: %d ids, not %d", report, len(rows), len(want))
	}
	if report = b.write(2); !strings.HasPrefix(report.Outputs[stages.EndOutput], "nothing new: ") {
		t.Errorf("%v", report)
	}
	b.spec = strings.Replace(b.spec, "clean/orders/", "orders/", 1)
	if report = b.write(1); !report.Permanent || !strings.Contains(report.Error, "there is no Delta table") {
		t.Errorf("%v", report)
	}
}

// A run whose label file has changed is not taken for one that finds nothing new, and the
// manifest names the file.
func TestATableFollowsItsLabelFile(t *testing.T) {
	b := ordersOf(t, "- {filter: {expression: \"rating != null\"}}", "")
	b.spec = strings.Replace(b.spec, "on_bad_row:", `label_file: {s3: {path: "s3://lake/labels/*.csv"}, format: {type: csv}, key: id, columns: [rating]}, on_bad_row:`, 1)
	b.spec = strings.Replace(b.spec, "{name: note, type: string}]", "{name: note, type: string}, {name: rating, type: int64, available_in: [training]}]", 1)
	for i, want := range []string{"version 0", "nothing new", "version 1"} {
		if i != 1 {
			b.put("labels/0.csv", fmt.Sprintf("id,rating\n1,5\n2,%d\n", i))
		}
		report := b.write(2)
		if report.Error != "" || !strings.Contains(report.Outputs["table"]+" "+report.Outputs[stages.EndOutput], want) {
			t.Fatalf("%d: %v, want %s", i, report, want)
		}
		if n := report.Counts["rows_out"]; n == 0 || n > 20 {
			t.Errorf("%d: %d rows have a rating", i, n)
		}
	}
	m, err := (&product.Table{Place: storage.Place{Bucket: b.lake, Name: "lake", Prefix: "clean/orders/"}}).Current(t.Context())
	if err != nil || m == nil || len(m.Tables) != 1 || m.Tables[0].Name != "label_file" || m.Tables[0].Rows != 2 {
		t.Errorf("%v, %+v", err, m)
	}
}
