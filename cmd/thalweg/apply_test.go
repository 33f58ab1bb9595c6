package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/worker/stream/lineage"
)

// What changes only how the stream runs is said to train nothing, and rows of the
// new generation, scored by the version of the old one, are proved like any.
func TestApplyOfAnotherStreamHalfGoesOnWithTheVersion(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	cl := client(t, c)
	body := fewFlights(t, 6_000)
	upload(t, c, body)
	applyAndWait(t, cl, demoSpec(t))
	dir := t.TempDir()
	flights, spec := filepath.Join(dir, "flights.parquet"), filepath.Join(dir, "flights.yaml")
	put(t, flights, string(body))
	put(t, spec, strings.Replace(demoSpec(t), "rolling: {period: 200ms}", "rolling: {period: 100ms}", 1))
	for _, want := range []string{"now at generation 2; no run: its training half is unchanged", "unchanged at generation 2"} {
		if text, err := command(t, c, "apply", "-f", spec, "--wait"); err != nil || !strings.Contains(text, want) {
			t.Fatalf("%v %s\nwant %s", err, text, want)
		}
	}
	if text, err := command(t, c, "produce", flights, "--topic", "flights", "--partitions", "1", "--from", "0.9"); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	committed(t, c, cl, 600)
	text, err := command(t, c, "lineage", "flight-delays", "--offset", "7", "--verify", "-o", "json")
	if d := parsed[lineage.Document](t, text); err != nil || !d.Verification.OK || d.Spec.Generation != 2 || d.Model.Version != 1 || len(d.Notes) > 0 {
		t.Errorf("lineage: %v\n%s", err, text)
	}
	text, err = command(t, c, "lineage", "flight-delays", "--key", "_offset=7", "-o", "json")
	if d := parsed[lineage.Document](t, text); err != nil || d.Event.Offset != 7 || len(d.Row) == 0 {
		t.Errorf("lineage of a key: %v\n%s", err, text)
	}
	if _, err := command(t, c, "lineage", "flight-delays", "--key", "_offset=7", "--at", "2001-01-01T00:00:00Z"); err == nil || !strings.Contains(err.Error(), "no row was scored by then") {
		t.Errorf("lineage of a key before anything was scored: %v", err)
	}
	if _, err := command(t, c, "lineage", "flight-delays", "--key", "_offset=7", "--offset", "7"); err == nil || !strings.Contains(err.Error(), `--offset: "7"`) {
		t.Errorf("lineage of a key and an offset: %v", err)
	}
	if text, err := command(t, c, "fsck", "flight-delays"); err != nil {
		t.Errorf("fsck: %v\n%s", err, text)
	}
	if text, err := command(t, c, "runs"); err != nil || strings.Contains(text, "flight-delays-2") {
		t.Errorf("runs: %v\n%s", err, text)
	}
}
