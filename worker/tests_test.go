package worker

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/quality"
)

// failingObjects returns the objects of failing rows in the state bucket, by key.
func failingObjects(t *testing.T, w *Worker) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for info, err := range w.state.List(t.Context(), failingDir, "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := w.state.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Key] = string(body)
	}
	return out
}

// tested is flightSpec with tests.
func tested(tests ...string) string {
	return strings.Replace(flightSpec, "  preprocessing:", "  tests: ["+strings.Join(tests, ", ")+"]\n  preprocessing:", 1)
}

var flightTests = []string{
	`{column: distance, check: "value <= 2800", error_if: "> 50%", store_failures: 30}`,
	`{column: origin, accepted_values: ["airport 0", "airport 1"], severity: warn, store_failures: 3}`,
	`{column: delay, not_null: true, apply_to: [training]}`,
	`{row_count: {min: 2000}, severity: warn}`,
}

// What tests find and which rows are kept is the same however shards are shared out, once
// more by what is remembered, and the model is that of a spec without tests.
func TestDataTestsFindTheSameHoweverShardsAreSharedOut(t *testing.T) {
	plain, _, _ := newBatchHalf(t).all(2)
	var want map[string]string
	var wantCounts map[string]int64
	for _, tasks := range []uint32{1, 3, flightShards} {
		b := newBatchHalf(t)
		b.spec = tested(flightTests...)
		hashes, _, counts := b.all(tasks)
		rows := failingObjects(t, b.worker)
		for _, name := range []string{"split", "transform", "checkpoint", "evaluation"} {
			if name != "checkpoint" && hashes[name] != plain[name] {
				t.Errorf("with tests another %s", name)
			}
		}
		if hashes["model_sha256"] != plain["model_sha256"] {
			t.Error("with tests another model")
		}
		if want == nil {
			want, wantCounts = rows, counts
		}
		if diff := cmp.Diff(want, rows); diff != "" || !maps.Equal(counts, wantCounts) || len(rows) != 1 {
			t.Errorf("by %d tasks: %v, want %v\n%s", tasks, counts, wantCounts, diff)
		}
		again := b.again()
		if again.all(tasks); !maps.Equal(again.counts, wantCounts) || len(failingObjects(t, b.worker)) != 1 || b.decoded() != 2*flightShards*flightRows {
			t.Errorf("a second run counts %v, and %v rows were decoded", again.counts, b.decoded())
		}
	}
	var lines []quality.Line
	for _, body := range want {
		for text := range strings.Lines(body) {
			var l quality.Line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
	}
	if len(lines) != 33 || lines[0].Run != "flights-1-1" || lines[0].Test != "1 check distance" || lines[0].Object != "flights/0.parquet" || lines[0].Rule != "value <= 2800" {
		t.Fatalf("%d lines, the first %+v", len(lines), lines[0])
	}
	if !slices.IsSortedFunc(lines[:30], func(a, b quality.Line) int {
		return strings.Compare(a.Object, b.Object)*1_000_000 + int(a.Row-b.Row)
	}) {
		t.Error("the lines of a test are not in the order of the rows")
	}
	if n := wantCounts["failed: test 1 check distance"]; n < 31 || n >= wantCounts["rows_clean"]/2 || wantCounts["failed: test 2 accepted_values origin"] < 1000 {
		t.Errorf("counts %v", wantCounts)
	}
}

func TestATestOfSeverityErrorFailsTheRunAndSaysWhere(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = tested(`{column: distance, range: {max: 2890}, store_failures: 5}`, `{column: origin, regex: "^airport [0-7]$", severity: warn}`, `{row_count: {max: 10}}`)
	report := b.upTo("clean", 3)
	rows := failingObjects(t, b.worker)
	key := slices.Collect(maps.Keys(rows))[0]
	for _, want := range []string{"test 1 range distance: ", " rows fail value <= 2890, ", "error_if is > 0; the first is row ", " of object flights/0.parquet",
		"test 3 row_count: there are ", " rows, at most 10 should be\n105 failing rows are in object " + key + " of the state bucket"} {
		if !strings.Contains(report.Error, want) {
			t.Errorf("%s\nhas no %q", report.Error, want)
		}
	}
	if !report.Permanent || report.ErrorKind != "invalid" || strings.Contains(report.Error, "test 2") {
		t.Errorf("%+v", report)
	}
	if n := counted(t, b.worker, "thalweg_test_failed_rows_total", "1 range distance"); n < 5 {
		t.Errorf("%v rows are counted that fail test 1", n)
	}
	// With another limit the rows are not read again.
	before := b.decoded()
	other := b.again()
	other.spec = tested(`{column: distance, range: {max: 2890}, store_failures: 5, error_if: "> 10%"}`, `{column: origin, regex: "^airport [0-7]$", severity: warn}`, `{row_count: {min: 10}}`)
	if report := other.upTo("clean", 2); report.Error != "" || len(report.Warnings) != 2 || !strings.Contains(report.Outputs["tests"], "2 regex origin    warn ") {
		t.Errorf("%+v", report)
	}
	if b.decoded() != before {
		t.Errorf("%v rows were decoded for other limits", b.decoded()-before)
	}
	another := b.again()
	another.spec = tested(`{column: distance, range: {max: 2895}}`)
	if report := another.upTo("clean", 2); report.Error == "" || b.decoded() == before {
		t.Errorf("another test was not carried out: %+v", report)
	}
}

// Without cleaning steps rows are read for their tests, and with the default split alone
// nothing else.
func TestDataTestsNeedNoCleaningStep(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(tested(`{column: distance, range: {min: 0}}`, `{column: gates, check: "value != null", severity: warn}`),
		"  preprocessing:\n    clean:\n      - {filter: {expression: \"distance > 0\"}}\n", "", 1)
	report := b.upTo("clean", 2)
	if !strings.Contains(report.Error, " of 2,000 rows fail value >= 0") {
		t.Errorf("%s", report.Error)
	}
}

// Rows are tested after all cleaning steps, those that learn included, also where prepared
// rows are kept already.
func TestDataTestsSeeWhatStepsHaveLearnt(t *testing.T) {
	all := catalog.All()
	all[pipeline.Steps] = append(all[pipeline.Steps], pipeline.Step("median", new(medianStep)))
	spec := strings.Replace(learningSpec, "  preprocessing:", "  tests: [{column: x, not_null: true}, {column: twice, range: {max: 70}, severity: warn}]\n  preprocessing:", 1)
	stores := lake(t)
	r, _ := prepare(t, Config{SpecCatalog: all}, stores, spec)
	if len(failingObjects(t, r.w)) != 1 || r.inputs["tests"] == "" || strings.Count(r.inputs["tests"], "passed") != 1 || strings.Count(r.inputs["tests"], "warned") != 1 {
		t.Errorf("%s", r.inputs["tests"])
	}
	// Other features: what fit found is another, the rows are those that are kept.
	w, err := New(t.Context(), &scripted{}, stores, slog.New(slog.DiscardHandler), Config{SpecCatalog: all, ID: "w", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.listener.Close() })
	again := &stageRunner{t: t, w: w, spec: strings.Replace(spec, "normalization: none", "normalization: zscore", 1), inputs: map[string]string{}}
	for _, stage := range Stages()[""] {
		if slices.Contains([]string{"profile", "clean", "learn", "fit"}, stage.Name) {
			again.run(stage)
		}
		if stage.Name == "fit" {
			break
		}
	}
	if again.inputs["tests"] != r.inputs["tests"] || counted(t, w, "thalweg_prepared_bytes_total", keptRead) == 0 {
		t.Errorf("%s, want %s", again.inputs["tests"], r.inputs["tests"])
	}
}

// The age of the newest row, as it was read, is that at the beginning of the run, by
// however many tasks, and whether rows were cleaned or nothing else is looked at.
func TestFreshnessIsOfTheNewestRowWhenTheRunBegan(t *testing.T) {
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	of := func(freshness string, steps bool, newest string) *batchHalf {
		b := newBatchHalf(t)
		n := 0
		asText(t, b.lake, "csv", func(distance, delay int64, origin string) string {
			when := "2026-01-01T00:00:00Z"
			if n++; n == flightShards*flightRows/2 {
				when = newest
			}
			return fmt.Sprintf("%d,%d,%s,%s\n", distance, delay, origin, when)
		}, "distance,delay,origin,at\n")
		b.spec = strings.Replace(ofFormat("flights/?.csv", "{type: csv}, freshness: "+freshness), "\n  preprocessing:", strings.Replace(declared, "]}", ", {name: at, type: timestamp}]}", 1), 1)
		if !steps {
			b.spec = strings.Replace(b.spec, "    clean:\n      - {filter: {expression: \"distance > 0\"}}\n", "    split: {type: random}\n", 1)
		}
		b.began = began
		return b
	}
	const both = "{column: at, warn_after: {count: 2, period: day}, error_after: {count: 7, period: day}}"
	for _, c := range []struct{ freshness, newest, warning, failure string }{
		{both, "2026-11-27T12:00:00Z", "", ""},
		{both, "2026-11-27T11:59:59Z", "column at: its newest value is 2026-11-27T11:59:59Z, 2 days 1 seconds before the run began at 2026-11-29T12:00:00Z; warn_after is 2 days", ""},
		{both, "2026-11-20T10:00:00Z", "", "column at: its newest value is 2026-11-20T10:00:00Z, 9 days 2 hours before the run began at 2026-11-29T12:00:00Z; error_after is 7 days"},
		{"{column: at, error_after: {count: 90, period: minute}}", "2026-11-29T10:29:00Z", "", "error_after is 90 minutes"},
		{"{column: at, warn_after: {count: 1, period: hour}}", "2030-01-01T00:00:00Z", "", ""},
	} {
		for _, steps := range []bool{true, false} {
			for _, tasks := range []uint32{1, flightShards} {
				b := of(c.freshness, steps, c.newest)
				for range 2 { // the second run reads what is kept
					report := b.upTo("clean", tasks)
					if warnings := strings.Join(report.Warnings, "\n"); warnings != c.warning || (report.Error == "") != (c.failure == "") || !strings.Contains(report.Error, c.failure) || report.Error != "" && !report.Permanent {
						t.Errorf("%s, newest %s, steps %v, %d tasks: warnings %q, error %q", c.freshness, c.newest, steps, tasks, warnings, report.Error)
					}
					before := b.decoded()
					if b = b.again(); before == 0 {
						t.Error("nothing was read")
					}
					b.began = began
				}
			}
		}
	}
	// Rows that do not change grow old: a run that its schedule started looks at them too,
	// and only then ends.
	for newest, failure := range map[string]string{"2026-11-29T00:00:00Z": "", "2026-11-01T00:00:00Z": "error_after is 7 days"} {
		b := of(both, true, newest)
		b.inputs[stages.KnownInput] = "3 " + b.upTo("profile", 1).Outputs[stages.ObjectsOutput]
		if end := b.upTo("profile", 1).Outputs[stages.EndOutput]; end != "" {
			t.Errorf("newest %s: %s before anybody looked", newest, end)
		}
		report := b.upTo("clean", 1)
		if end := report.Outputs[stages.EndOutput]; !strings.Contains(report.Error, failure) || (failure == "") != (end == "nothing new: version 3 was trained on the same objects, 4 in all") {
			t.Errorf("newest %s: %q, %q", newest, end, report.Error)
		}
	}
	b := of(both, true, "2026-11-29T00:00:00Z")
	asText(t, b.lake, "csv", func(distance, delay int64, origin string) string {
		return fmt.Sprintf("%d,%d,%s,\n", distance, delay, origin)
	}, "distance,delay,origin,at\n")
	if err := b.upTo("clean", 1).Error; !strings.Contains(err, "column at has no value in any row") {
		t.Errorf("no values: %q", err)
	}
}

// A run is held against what the champion keeps of its rows, the same however shards are
// shared out: it passes where they are alike, and where there is nothing to compare with.
func TestRowsAreComparedWithThoseOfTheChampion(t *testing.T) {
	likeChampion := func(more string) []string {
		return []string{`{column: distance, like_champion: {` + more + `}}`, `{column: origin, like_champion: {metric: jensen_shannon}, severity: warn}`, `{column: distance, like_champion: {metric: jensen_shannon, error: 2.0, warn: 1.5}}`}
	}
	b := newBatchHalf(t)
	b.spec = tested(likeChampion("min_rows: 100")...)
	first, _, _ := b.all(2)
	table := func(b *batchHalf) string { return strings.Join(strings.Fields(b.inputs["tests"]), " ") }
	if !strings.Contains(table(b), "1 like_champion distance error 0 no champion yet passed") {
		t.Errorf("without a champion:\n%s", b.inputs["tests"])
	}
	parts, err := b.worker.checkpoint(t.Context(), b.inputs["checkpoint"])
	if err != nil || len(parts["reference.json"]) == 0 {
		t.Fatalf("the version keeps no reference: %v", err)
	}
	champion := "1 " + b.inputs["checkpoint"]
	for _, tasks := range []uint32{1, 3} {
		other := newBatchHalf(t)
		other.spec = b.spec
		if hashes, _, _ := other.all(tasks); hashes["reference"] != first["reference"] || hashes["reference"] == "" {
			t.Errorf("by %d tasks the reference is %s, not %s", tasks, hashes["reference"], first["reference"])
		}
	}
	after := func(change func(other *batchHalf)) (*batchHalf, string, []string) {
		other := b.again()
		other.inputs[stages.ChampionInput] = champion
		change(other)
		report := other.upTo("fit", 3)
		return other, report.Error, report.Warnings
	}
	if other, failed, _ := after(func(*batchHalf) {}); failed != "" || !strings.Contains(table(other), "1 like_champion distance error 0 psi 0 from version 1 passed") {
		t.Errorf("the same rows: %s\n%s", failed, other.inputs["tests"])
	}
	if other, failed, _ := after(func(o *batchHalf) { o.spec = tested(likeChampion("min_rows: 100000")...) }); failed != "" || !strings.Contains(table(other), "of version 1 are too few passed") {
		t.Errorf("few rows: %s\n%s", failed, other.inputs["tests"])
	}
	if other, failed, _ := after(func(o *batchHalf) { o.spec = tested(`{column: delay, like_champion: {}}`) }); failed != "" || !strings.Contains(table(other), "version 1 keeps no reference of it passed") {
		t.Errorf("another column: %s\n%s", failed, other.inputs["tests"])
	}
	far := func(o *batchHalf) {
		o.spec = strings.Replace(b.spec, "distance > 0", "distance > 2000 and origin != 'airport 3' and origin != 'airport 4'", 1)
	}
	if _, failed, _ := after(far); !strings.Contains(failed, "test 1 like_champion distance: the ") || !strings.Contains(failed, "that version 1 was trained on by a psi of ") || !strings.Contains(failed, "error is 0.25") {
		t.Errorf("other rows: %s", failed)
	}
	other, failed, warnings := after(func(o *batchHalf) {
		o.spec = strings.Replace(tested(strings.Replace(strings.Join(likeChampion("min_rows: 100"), ", "), "{min_rows: 100}}", "{min_rows: 100}, severity: warn}", 1)), "distance > 0", "distance > 2000 and origin != 'airport 3'", 1)
	})
	if failed != "" || !strings.Contains(table(other), "warned") {
		t.Errorf("a warning: %s, %v\n%s", failed, warnings, other.inputs["tests"])
	}
	other = b.again()
	other.inputs[stages.ChampionInput] = "1 checkpoints/none#" + strings.Repeat("0", 64)
	if report := other.upTo("fit", 2); report.Error != "" || !strings.Contains(table(other), "version 1 cannot be read") {
		t.Errorf("a champion that is gone: %v\n%s", report.Error, other.inputs["tests"])
	}
}
