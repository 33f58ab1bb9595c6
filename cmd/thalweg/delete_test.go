package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// objects returns the sizes of the objects of a bucket, by key.
func objects(t *testing.T, c *embedded.Cluster, name, prefix string) map[string]int64 {
	t.Helper()
	bucket, err := c.Connections.Bucket(t.Context(), "", name)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int64)
	for info, err := range bucket.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		found[info.Key] = info.SizeBytes
	}
	return found
}

// A pipeline that was deleted and one that comes under its name never take what
// the other left for their own: with kept rows the stream goes on with the log, on
// another sink and after a purge it begins anew, and a purge removes what the
// pipeline wrote and nothing beside it.
func TestADeletedPipelineAndTheNextOfItsNameDoNotMixUp(t *testing.T) {
	// Only the purge removes anything.
	c := parallelDev(t, embedded.Config{CollectEvery: time.Hour})
	cl := client(t, c)
	body := fewFlights(t, 6_000)
	upload(t, c, body)
	dir := t.TempDir()
	flights, spec := filepath.Join(dir, "flights.parquet"), filepath.Join(dir, "flights.yaml")
	put(t, flights, string(body))
	put(t, spec, demoSpec(t))
	run := func(wants []string, args ...string) string {
		t.Helper()
		text := said(t, c, args...)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s prints\n%s\nwant %q", args, text, want)
			}
		}
		return text
	}
	events := int64(0)
	more := func() {
		t.Helper()
		run(nil, "produce", flights, "--topic", "flights", "--partitions", "2", "--from", "0.9")
		events += 600
		committed(t, c, cl, events)
	}
	// Neighbours by name: a pipeline, and objects that no stream has written.
	neighbour, _, _ := strings.Cut(strings.Replace(demoSpec(t), "name: flight-delays}", "name: flight-delays-1}", 1), "  scoring:")
	applyAndWait(t, cl, neighbour)
	lake, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"scored/flight-delays/own.txt", "scored/flight-delays-1/data/flights/00000/own.parquet"} {
		if _, err := lake.Put(t.Context(), key, []byte("mine")); err != nil {
			t.Fatal(err)
		}
	}
	own, state := objects(t, c, "lake", ""), objects(t, c, "thalweg", "")

	run([]string{"now at generation 1"}, "apply", "-f", spec)
	more()
	for _, refused := range []struct {
		args []string
		says string
	}{
		{[]string{"flight-delays"}, "there is no terminal to ask on (add --yes)"},
		{[]string{"flight-dleays", "--yes"}, "did you mean flight-delays?"},
	} {
		if text, err := command(t, c, append([]string{"delete"}, refused.args...)...); err == nil || !strings.Contains(err.Error(), refused.says) {
			t.Errorf("delete %s: %v %s", refused.args, err, text)
		}
	}
	run([]string{"flight-delays is deleted\nkept: the checkpoints of its versions, and rows, table, log and dead letters at s3://lake/scored/flight-delays/", "begins at generation 2;", "goes on where the log ends"},
		"delete", "flight-delays", "--yes")
	for _, verb := range []string{"status", "runs", "models"} {
		if text := run(nil, verb); strings.Contains(strings.ReplaceAll(text, "flight-delays-1", ""), "flight-delays") {
			t.Errorf("%s lists it still:\n%s", verb, text)
		}
	}
	kept := objects(t, c, "lake", "scored/flight-delays/data/")

	// With the same sink each event is in one row, by whichever of the two.
	run([]string{"flight-delays is new", "was deleted at", "no event is scored twice"}, "plan", "-f", spec)
	run([]string{"was deleted at", "no event is scored twice", "now at generation 2"}, "apply", "-f", spec)
	more()
	for key, size := range kept {
		if now := objects(t, c, "lake", key)[key]; now != size {
			t.Errorf("%s had %d bytes and has %d", key, size, now)
		}
	}
	models, err := cl.ListModels(t.Context(), &apiv1.ListModelsRequest{Model: "flight-delays"})
	if err != nil || len(models.Models[0].Versions) != 1 || models.Models[0].Versions[0].Version != 2 {
		t.Errorf("models: %v %v", models, err)
	}
	run([]string{`"version": 1`, `"ok": true`}, "lineage", "flight-delays", "--offset", "7", "--verify", "-o", "json")

	// With another it begins anew, and what the purge removes is there only.
	kept = objects(t, c, "lake", "scored/flight-delays/")
	run(nil, "delete", "flight-delays", "--yes")
	put(t, spec, strings.Replace(demoSpec(t), "scored/flight-delays/", "scored/elsewhere/", 1))
	run([]string{"now at generation 3"}, "apply", "-f", spec)
	committed(t, c, cl, events)
	run([]string{"flight-delays is deleted\nremoved: ", "scores events again"}, "delete", "flight-delays", "--yes", "--purge")
	if left := objects(t, c, "lake", "scored/elsewhere/"); len(left) > 0 {
		t.Errorf("purged, and there are %v", left)
	}
	if now := objects(t, c, "lake", "scored/flight-delays/"); !maps.Equal(now, kept) {
		t.Errorf("the other sink has %d objects, had %d", len(now), len(kept))
	}

	put(t, spec, demoSpec(t))
	run([]string{"now at generation 4"}, "apply", "-f", spec)
	more()
	strange := []string{"data/own.parquet", "data/flights/00000/own.parquet", "_dead/flights/00000/own.jsonl", "_log/notes.txt", "_log/flights/00000/notes.txt"}
	for _, key := range strange {
		if _, err := lake.Put(t.Context(), "scored/flight-delays/"+key, []byte("mine")); err != nil {
			t.Fatal(err)
		}
		own["scored/flight-delays/"+key] = 4
	}
	before := maps.Clone(objects(t, c, "lake", ""))
	maps.Copy(before, objects(t, c, "thalweg", ""))
	text := run([]string{"flight-delays is deleted\nremoved: "}, "delete", "flight-delays", "--yes", "--purge")
	after := objects(t, c, "lake", "")
	if !maps.Equal(after, own) {
		t.Errorf("of %d objects there are %v", len(own), slices.Sorted(maps.Keys(after)))
	}
	if now := objects(t, c, "thalweg", ""); !maps.Equal(now, state) {
		t.Errorf("of the state's %d objects there are %v", len(state), slices.Sorted(maps.Keys(now)))
	}
	maps.DeleteFunc(before, func(key string, _ int64) bool { _, stays := own[key]; _, too := state[key]; return stays || too })
	var bytes int64
	for _, size := range before {
		bytes += size
	}
	if want := fmt.Sprintf("removed: %s objects, %s bytes\n", humanize.Comma(int64(len(before))), humanize.Comma(bytes)); !strings.Contains(text, want) {
		t.Errorf("delete prints\n%s\nwant %s", text, want)
	}
	if again := run(nil, "delete", "flight-delays", "--yes", "--purge"); again != text {
		t.Errorf("asked again, delete prints\n%s", again)
	}
	for _, key := range strange { // a stream takes them for what is left of its log
		if err := lake.Delete(t.Context(), "scored/flight-delays/"+key); err != nil {
			t.Fatal(err)
		}
	}
	run([]string{"now at generation 5"}, "apply", "-f", spec)
	committed(t, c, cl, events)
	_, err = cl.GetPipeline(t.Context(), &apiv1.GetPipelineRequest{Name: "flight-delays-1"})
	if err != nil && thalweg.Is(err, thalweg.NotFound) {
		t.Error(err)
	}
}
