package worker

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// dedupeSpec is flightSpec with one step that keeps one row of a key before those that
// learn, and one that sees what it leaves.
var dedupeSpec = strings.Replace(flightSpec, `{filter: {expression: "distance > 0"}}`, `{filter: {expression: "distance > 0"}}
      - {dedupe: {keys: [origin, delay]}}
      - {dedupe: {keys: [distance], keep: last, by: delay}}
      - {fill: {columns: [delay], strategy: fill_with_mean}}`, 1)

// leftByDedupe are the rows that the steps of dedupeSpec leave, by shard, and how many each
// drops.
func leftByDedupe(t *testing.T, b *batchHalf) (left map[string]bool, first, second int64) {
	t.Helper()
	d, err := b.worker.openData(t.Context(), b.lease())
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		distance, delay int64
		at              string
	}
	pairs, best := map[string]bool{}, map[int64]row{}
	for shard := range d.manifest.Shards {
		for batch, err := range d.batches(t.Context(), shard, new(pipeline.Report)) {
			if err != nil {
				t.Fatal(err)
			}
			column := func(name string) int { return batch.Schema().FieldIndices(name)[0] }
			origins := batch.Column(column("origin")).(*array.Dictionary)
			for i, n := range table.Rows(batch) {
				r := row{batch.Column(column("distance")).(*array.Int64).Value(i), batch.Column(column("delay")).(*array.Int64).Value(i), fmt.Sprint(shard, " ", n)}
				pair := fmt.Sprint(origins.Dictionary().(*array.String).Value(origins.GetValueIndex(i)), r.delay)
				if r.distance <= 0 {
					continue
				}
				if pairs[pair] {
					first++
					continue
				}
				pairs[pair] = true
				was, ok := best[r.distance]
				if ok {
					second++
				}
				if !ok || r.delay >= was.delay {
					best[r.distance] = r
				}
			}
		}
	}
	left = make(map[string]bool)
	for _, r := range best {
		left[r.at] = true
	}
	return left, first, second
}

// Exactly one row of each key is left for training, however shards are shared out among
// tasks, and whether or not reducers spill: the model is the same. The steps behind see
// what is left, and each row that is not is counted.
func TestDoubleRowsAreDroppedWhereverTheyAre(t *testing.T) {
	whole := newBatchHalf(t)
	whole.spec = dedupeSpec
	want, _, counts := whole.all(flightShards)
	left, first, second := leftByDedupe(t, whole)
	if n := counts["dropped: 2 dedupe: another row has the same origin, delay"]; n != first || n == 0 {
		t.Errorf("%d rows dropped, want %d", n, first)
	}
	if n := counts["dropped: 3 dedupe: another row has the same distance"]; n != second || n == 0 {
		t.Errorf("%d rows dropped, want %d", n, second)
	}
	if counts["rows_clean"] != int64(len(left)) {
		t.Errorf("%d rows are left, want %d", counts["rows_clean"], len(left))
	}
	rows, err := whole.worker.openRows(t.Context(), whole.lease())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for shard := range rows.manifest.Shards {
		for batch, err := range rows.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range batch.Row {
				if seen++; !left[fmt.Sprint(shard, " ", n)] {
					t.Errorf("row %d of shard %d is there", n, shard)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no row is there")
	}
	for _, cacheBytes := range []int64{1, 1 << 30} {
		b := newBatchHalf(t)
		b.spec, b.worker.cfg.CacheBytes = dedupeSpec, cacheBytes
		if got, _, gotCounts := b.all(2); !maps.Equal(got, want) || !maps.Equal(gotCounts, counts) {
			t.Errorf("by 2 tasks, of %d bytes: %v %v, by one a shard: %v %v", cacheBytes, got, gotCounts, want, counts)
		}
	}
}

// What is kept of a shard whose rows an object that has come since has too is not taken for
// what the shard has now.
func TestKeptRowsAreOfWhatShufflesFound(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = dedupeSpec
	pieces := func() (n int) {
		for info, err := range b.worker.state.List(t.Context(), runsDir, "") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(info.Key, "/"+pieceName) {
				n++
			}
		}
		return n
	}
	if b.upTo("clean", 1); pieces() != 2*shuffleReducers {
		t.Errorf("%d pieces of two shuffles by a task", pieces())
	}
	if b.upTo("fit", 1); pieces() != 0 {
		t.Errorf("%d pieces are left", pieces())
	}
	file := flightFile(t, flightShards-1)
	if _, err := b.lake.Put(t.Context(), "flights/000.parquet", file); err != nil {
		t.Fatal(err)
	}
	next := &batchHalf{t: t, worker: b.worker, lake: b.lake, spec: b.spec, inputs: map[string]string{}, counts: map[string]int64{}, shards: flightShards + 1}
	report := next.upTo("fit", 1)
	left, _, _ := leftByDedupe(t, next)
	if report.Error != "" || report.Counts["rows_clean"] != int64(len(left)) {
		t.Errorf("%s: %d rows are left, want %d", report.Error, report.Counts["rows_clean"], len(left))
	}
}

// A shuffle finds rows by the number of their shard. What is kept of a shard does not serve
// a run in which it has another, though all that the shuffle found is the same.
func TestKeptRowsAreOfTheirShardsNumberWhereShufflesFoundRows(t *testing.T) {
	spec := strings.Replace(flightSpec, `{filter: {expression: "distance > 0"}}`, "{dedupe: {keys: [gate]}}", 1)
	file := func(day int) []byte { // its first row is in all of them
		text := "gate,distance,delay,origin\n"
		for i := range flightRows {
			gate := fmt.Sprint(day, " ", i)
			if i == 0 {
				gate = "all"
			}
			text += fmt.Sprintf("%s,%d,%d,a%d\n", gate, i%7, i%31, i%3)
		}
		return []byte(text)
	}
	spec = strings.NewReplacer("*.parquet", "*.csv", "type: parquet", "type: csv", "    - {name: gates, type: list}\n", "", "    - {name: first, type: number, expression: \"gates[0]\"}\n", "").Replace(spec)
	put := func(b *batchHalf, day int) {
		if _, err := b.lake.Put(t.Context(), fmt.Sprintf("flights/%d.csv", day), file(day)); err != nil {
			t.Fatal(err)
		}
	}
	b, fresh := newBatchHalf(t), newBatchHalf(t)
	b.spec, fresh.spec = spec, spec
	for day := range flightShards {
		put(b, day)
		put(fresh, day+1)
	}
	const dropped = "dropped: 1 dedupe: another row has the same gate"
	want := int64(flightShards*(flightRows-1) + 1)
	if _, _, counts := b.all(flightShards); counts["rows_clean"] != want || counts[dropped] != flightShards-1 {
		t.Errorf("%v", counts)
	}
	if err := b.lake.Delete(t.Context(), "flights/0.csv"); err != nil {
		t.Fatal(err)
	}
	put(b, flightShards)
	got, _, counts := b.again().all(2)
	if counts["rows_clean"] != want {
		t.Errorf("%d rows are left, want %d", counts["rows_clean"], want)
	}
	if alone, _, _ := fresh.all(2); !maps.Equal(got, alone) {
		t.Errorf("%v, want %v", got, alone)
	}
}

// Each row after the first of its key fails a test of uniqueness, and the first of them are
// kept with where they lie: also where steps that learn clean them, by any number of tasks,
// and once more by a run that finds what this one has kept.
func TestRowsThatAreNotUniqueFail(t *testing.T) {
	const test = `{columns: [origin, delay], unique: true, severity: warn, store_failures: 3}`
	learns := strings.Replace(tested(test), `{filter: {expression: "distance > 0"}}`, `{filter: {expression: "distance > 0"}}
      - {fill: {columns: [distance], strategy: fill_with_mean}}`, 1)
	var lines string
	for _, c := range []struct {
		spec  string
		tasks uint32
	}{{tested(test), 3}, {learns, 1}, {learns, 2}} {
		b := newBatchHalf(t)
		b.spec = c.spec
		_, _, counts := b.all(c.tasks)
		_, doubles, _ := leftByDedupe(t, b)
		if n := counts["failed: test 1 unique origin, delay"]; n != doubles || n == 0 {
			t.Errorf("%d rows fail, want %d", n, doubles)
		}
		objects := failingObjects(t, b.worker)
		if len(objects) != 1 {
			t.Errorf("failing rows are in %v", objects)
		}
		for _, body := range objects {
			if strings.Count(body, "\n") != 3 || strings.Count(body, `"rule":"unique origin, delay","object":"flights/0.parquet"`) != 3 || lines != "" && body != lines {
				t.Errorf("%s, before %s", body, lines)
			}
			lines = body
		}
		again := b.again()
		if again.all(c.tasks); again.counts["failed: test 1 unique origin, delay"] != doubles {
			t.Errorf("a second run counts %v", again.counts)
		}
	}
}

// Tests see what a step leaves of each key.
func TestWhatDedupeLeavesIsUnique(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(dedupeSpec, "  preprocessing:", "  tests: [{column: distance, unique: true, error_if: \"> 0\"}]\n  preprocessing:", 1)
	if report := b.upTo("fit", 2); report.Error != "" || report.Counts["failed: test 1 unique distance"] != 0 {
		t.Errorf("%v", report)
	}
	b = newBatchHalf(t)
	b.spec = tested(`{column: distance, unique: true}`)
	if report := b.upTo("clean", 2); !strings.Contains(report.Error, "rows fail unique distance, ") || !strings.Contains(report.Error, "error_if is > 0; the first is row ") {
		t.Errorf("%v", report)
	}
}

// The last value of a key fills what is missing behind it, wherever it is, and the model is
// the same by any number of tasks, spilled or not, and by what a run before has kept.
func TestMissingValuesBecomeTheLastOfTheirKey(t *testing.T) {
	spec := strings.Replace(flightSpec, `{filter: {expression: "distance > 0"}}`, `{derive: {column: seen, expression: "distance % 3 == 0 ? null : distance"}}
      - {derive: {column: class, expression: "distance % 4 == 0 ? null : origin + 's'"}}
      - {fill: {columns: [seen], strategy: last_in_key, key: origin, apply_to: [training]}}
      - {fill: {columns: [class], strategy: last_in_key, key: origin, by: distance, apply_to: [training]}}
      - {fill: {columns: [class], strategy: fill_with_mode}}`, 1)
	spec = strings.Replace(spec, "    - {name: distance, type: number}\n", "    - {name: distance, type: number}\n    - {name: seen, type: number}\n    - {name: class, type: category}\n", 1)
	whole := newBatchHalf(t)
	whole.spec = spec
	want, _, counts := whole.all(flightShards)
	if counts["changed: 3 fill seen"] == 0 || counts["changed: 4 fill class"] == 0 || counts["rows_clean"] != flightShards*flightRows {
		t.Errorf("counts %v", counts)
	}
	for _, cacheBytes := range []int64{1, 1 << 30} {
		b := newBatchHalf(t)
		b.spec, b.worker.cfg.CacheBytes = spec, cacheBytes
		if got, _, gotCounts := b.all(2); !maps.Equal(got, want) || !maps.Equal(gotCounts, counts) {
			t.Errorf("by 2 tasks, of %d bytes: %v %v, by one a shard: %v %v", cacheBytes, got, gotCounts, want, counts)
		}
	}
	again := whole.again()
	if again.all(1); !maps.Equal(again.counts, counts) {
		t.Errorf("a second run counts %v, want %v", again.counts, counts)
	}
}
