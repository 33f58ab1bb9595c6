package main

import (
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Lists in events and in answers are the same after files were merged, in a replay, in
// a comparison and in lineage, and fsck and the table have nothing against them.
func TestListsAreKeptByWhatFollowsAStream(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	cl := client(t, c)
	body := withLists(t, fewFlights(t, 6_000))
	upload(t, c, body)
	spec := demoSpec(t)
	for _, change := range [][2]string{
		{"  input_features:\n", "  input_features:\n    - {name: legs, type: list, length: 3}\n    - {name: flags, type: list}\n"},
		{`{name: delayed, type: binary, expression: "delay > 15"}`, `{name: delayed, type: category, expression: "delay > 30 ? \"much\" : delay > 0 ? \"some\" : \"not\""}`},
		{"sink: {rolling: {period: 200ms}, ", "sink: {rolling: {period: 200ms, count: 100}, compaction: {min_files: 2}, "},
	} {
		if !strings.Contains(spec, change[0]) {
			t.Fatalf("the spec lacks %s", change[0])
		}
		spec = strings.Replace(spec, change[0], change[1], 1)
	}
	applyAndWait(t, cl, spec)
	file := filepath.Join(t.TempDir(), "flights.parquet")
	put(t, file, string(body))
	n := sendRows(t, c, file, 0.5)
	committed(t, c, cl, n)
	const merged = `"merged": true`
	text := ""
	for !strings.Contains(text, merged) {
		var err error
		if text, err = command(t, c, "results", "flight-delays", "-o", "json"); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, merged) {
			select {
			case <-t.Context().Done():
				t.Fatalf("no files are merged:\n%s", text)
			case <-time.After(terminal.FollowEvery):
			}
		}
	}
	text, err := command(t, c, "replay", "flight-delays", "--model", "1", "--into", "s3://lake/replays/lists/", "--diff", "-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if d := parsed[replayed](t, text).Diff; d.Both != n || d.Equal != n || !d.Same() {
		t.Errorf("of %d rows: %s", n, text)
	}
	for _, verb := range [][]string{{"fsck", "flight-delays"}, {"fsck", "flight-delays", "--at", "s3://lake/replays/lists/"},
		{"lineage", "flight-delays", "--partition", "1", "--offset", "7", "--verify"}} {
		if text, err := command(t, c, verb...); err != nil || !strings.Contains(text, "ok") {
			t.Errorf("%s: %v\n%s", verb, err, text)
		}
	}
}
