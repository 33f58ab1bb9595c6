package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
)

// However often a spec is applied, a bounded number of objects stays in the state
// bucket; what an alias names serves, and what is gone is refused by name.
func TestManyAppliesLeaveABoundedNumberOfObjects(t *testing.T) {
	c := parallelDev(t, embedded.Config{CollectEvery: 50 * time.Millisecond})
	cl := client(t, c)
	body := fewFlights(t, 2_000)
	upload(t, c, body)
	flights := filepath.Join(t.TempDir(), "flights.parquet")
	put(t, flights, string(body))
	spec := func(seed int) string {
		return strings.Replace(demoSpec(t), "  scoring:", fmt.Sprintf("  trainer: {seed: %d, keep_checkpoints: 2}\n  scoring:", seed), 1)
	}
	applyAndWait(t, cl, spec(1))
	said(t, c, "produce", flights, "--topic", "flights", "--partitions", "2", "--from", "0.9")
	committed(t, c, cl, 200)
	said(t, c, "models", "promote", "flight-delays", "1", "--alias", "stable")
	applyAndWait(t, cl, spec(2))
	said(t, c, "produce", flights, "--topic", "flights", "--partitions", "2", "--from", "0.9")
	committed(t, c, cl, 400)
	first := len(objects(t, c, "thalweg", "checkpoints/"))
	if first == 0 || first%2 != 0 {
		t.Fatalf("two versions have %d objects", first)
	}
	const versions = 12
	for seed := 3; seed <= versions; seed++ {
		applyAndWait(t, cl, spec(seed))
	}
	// The newest two, one that was replaced before those, and that of the alias.
	want := 4 * first / 2
	for {
		outputs, checkpoints := len(objects(t, c, "thalweg", "runs/")), len(objects(t, c, "thalweg", "checkpoints/"))
		if outputs == 0 && checkpoints == want {
			break
		}
		if err := retry.Sleep(t.Context(), terminal.FollowEvery); err != nil {
			t.Fatalf("%d outputs of runs are left, and %d objects of checkpoints, want %d", outputs, checkpoints, want)
		}
	}
	models := said(t, c, "models")
	if n := strings.Count(models, "(collected)"); n != versions-4 {
		t.Errorf("%d are collected:\n%s", n, models)
	}
	for _, args := range [][]string{
		{"models", "promote", "flight-delays", "2"},
		{"models", "export", "flight-delays", "2", "--dir", t.TempDir()},
		{"replay", "flight-delays", "--from", "0:0", "--model", "2", "--into", "s3://lake/replays/gone/"},
	} {
		if text, err := command(t, c, args...); err == nil || !strings.Contains(err.Error(), "flight-delays") || !strings.Contains(err.Error(), "was collected (trainer.keep_checkpoints)") {
			t.Errorf("%s: %v\n%s", args, err, text)
		}
	}
	// Rows of a version that keeps its checkpoint are proved, others say why not.
	if text := said(t, c, "lineage", "flight-delays", "--offset", "7", "--verify", "-o", "json"); !strings.Contains(text, `"ok": true`) {
		t.Errorf("lineage of version 1:\n%s", text)
	}
	if text, err := command(t, c, "lineage", "flight-delays", "--offset", "150", "-o", "json"); err != nil || !strings.Contains(text, "flight-delays 2") || !strings.Contains(text, "its checkpoint is gone: trainer.keep_checkpoints") {
		t.Errorf("lineage of version 2: %v\n%s", err, text)
	}
	if text, err := command(t, c, "lineage", "flight-delays", "--offset", "150", "--verify"); err == nil || !strings.Contains(err.Error(), "flight-delays 2") || !strings.Contains(err.Error(), "trainer.keep_checkpoints") {
		t.Errorf("verified without its checkpoint: %v\n%s", err, text)
	}
	said(t, c, "models", "rollback", "flight-delays")
	said(t, c, "models", "promote", "flight-delays", "1")
	said(t, c, "produce", flights, "--topic", "flights", "--partitions", "2", "--from", "0.9")
	committed(t, c, cl, 600)
	listed, err := cl.ListModels(t.Context(), &apiv1.ListModelsRequest{Model: "flight-delays"})
	if err != nil || listed.Models[0].Aliases["champion"] != 1 {
		t.Errorf("models: %v %v", listed, err)
	}
}
