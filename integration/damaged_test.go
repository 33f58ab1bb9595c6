//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
)

// TestADamagedChampionIsRefusedAndThePreviousServes damages the checkpoint of
// the champion while no worker runs. Those that start refuse it, say so, and
// score with the version that it replaced.
func TestADamagedChampionIsRefusedAndThePreviousServes(t *testing.T) {
	c, kafka, lake, server := startStream(t, 1)
	client := c.Client()
	state, err := newOpener(t, server).Bucket(t.Context(), "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(t, kafka.Brokers(), topic, partitions)
	write := func(n int) {
		t.Helper()
		if err := f.write(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	second := waitRun(t, c, apply(t, c, streamSpec(t, 500*time.Millisecond, "  trainer: {seed: 7}\n")), "the second model", succeeded)
	c.Run(t, "models", "rollback", flightPipeline)
	write(400)
	waitStream(t, client, "version 1 to score", committedTo(f.ends()))
	c.StopWorker(t, 0)

	c.Run(t, "models", "promote", flightPipeline, "2")
	ref, err := thalweg.ParseObjectRef(second.Outputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	const part = "model.safetensors"
	key := strings.TrimSuffix(ref.Key, "manifest.json") + part
	body, _, err := state.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)-1] ^= 1 // a bit of a parameter: it would score, wrongly
	if _, err := state.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	write(400)
	c.RestartWorker(t, 0)
	waitStream(t, client, "version 1 to go on", committedTo(f.ends()))

	waitStream(t, client, "the status to tell of the refusal", all(partitions, func(p *apiv1.StreamPartition) bool {
		return p.ModelVersion == 1 && p.State == "running" && strings.Contains(p.Message, flightPipeline+" 2 is refused, "+flightPipeline+" 1 serves")
	}))
	logged := func() bool {
		return slices.ContainsFunc(c.CoordinatorOutput(), func(line string) bool {
			return strings.Contains(line, "cannot load a model version") && strings.Contains(line, part) && strings.Contains(line, "sha256")
		})
	}
	process.Until(t, "the coordinator's log to name the damaged part", func(context.Context) error {
		if !logged() {
			return fmt.Errorf("no line does")
		}
		return nil
	})
	if rows := f.wantEachOnce(t, lake, sinkPrefix); len(rows) != 1 || rows[1] == 0 {
		t.Errorf("rows by model version: %v, want version 1 alone", rows)
	}
	judge(t, client, lake)
}
