package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// keys returns the keys of the state bucket below a prefix.
func (c *cluster) keys(prefix string) (keys []string) {
	c.t.Helper()
	b, err := c.store.Bucket(c.ctx(), "thalweg")
	if err != nil {
		c.t.Fatal(err)
	}
	for info, err := range b.List(c.ctx(), prefix, "") {
		if err != nil {
			c.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// Outputs of runs that ended, or that nobody knows, go; those of a run that is
// going stay, and the failing rows of one that is known, whoever leads and whatever the
// store did meanwhile.
func TestOutputsOfEndedRunsAreCollectedAndNoOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.CollectEvery = time.Millisecond })
	c.noStore.Store(true)
	client := c.client()
	ended, going := c.apply(client, "flights", 1).RunId, c.apply(client, "other", 1).RunId
	if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: ended}); err != nil {
		t.Fatal(err)
	}
	b, err := c.store.Bucket(c.ctx(), "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	stays := []string{"checkpoints/unknown-1-1/x/manifest.json", "failing-rows/" + ended + "/rows-ab.jsonl", "prepared/other/ab-0000.rows", "runs/" + going + "/checkpoints/x/manifest.json", "runs/" + going + "/clean/000000-ab.json"}
	goes := []string{"failing-rows/other-9-9/rows-ab.jsonl", "runs/" + going + "1/late.json", "prepared/deleted/ab-0000.rows", "prepared/oth/ab-0000.rows"}
	for i := range 2500 {
		goes = append(goes, fmt.Sprintf("runs/%s/clean/%06d-ab.json", ended, i))
	}
	for i := range maxSwept + 10 {
		goes = append(goes, fmt.Sprintf("runs/another-%d-1/clean/0.json", i))
	}
	for _, key := range slices.Concat(stays, goes) {
		if _, err := b.Put(c.ctx(), key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	c.stop(c.leader())
	c.noStore.Store(false)
	c.eventually("only those of the run that is going are left", func() bool { return len(c.keys("")) <= len(stays) })
	if left := c.keys(""); !slices.Equal(left, stays) {
		t.Errorf("left are %q", left)
	}
}

// A pipeline whose topic does not exist leaves no more checkpoints than others: no
// event of it can have been claimed.
func TestAStreamWithoutATopicKeepsNoVersions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.CollectEvery = time.Millisecond })
	client := c.client()
	w := newRobot(c, "w1", nil)
	w.says = func(_ *apiv1.Lease, p *apiv1.StreamPartition) { p.State, p.Committed, p.Partitions = "waiting", -1, 0 }
	c.employ(w)
	c.versions(client, 5)
	c.eventually("old versions are collected", func() bool { return slices.Equal(c.collected(client), []uint64{1, 2}) })
}

// versions trains so many, of which only the newest is to be kept.
func (c *cluster) versions(client *api.Client, n uint64) {
	c.t.Helper()
	spec := strings.Replace(specText("flights", 1), "trainer: {", "trainer: {keep_checkpoints: 1, ", 1)
	applied, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: spec, File: "flights.yaml"})
	if err != nil {
		c.t.Fatal(err)
	}
	run := c.awaitRun(client, applied.RunId)
	for run.ModelVersion < n {
		started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
		if err != nil {
			c.t.Fatal(err)
		}
		if run = c.awaitRun(client, started.RunId); run.State != "succeeded" {
			c.t.Fatalf("run %v", run)
		}
	}
}

// collected returns the versions whose checkpoints are collected.
func (c *cluster) collected(client *api.Client) (versions []uint64) {
	c.t.Helper()
	models, err := client.ListModels(c.ctx(), &apiv1.ListModelsRequest{Model: "flights"})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range models.Models[0].Versions {
		if v.Collected {
			versions = append(versions, v.Version)
		}
	}
	return versions
}

// A version that a stream scores with keeps its checkpoint, however old it is, and
// none is collected while a partition's claims are not known.
func TestAVersionThatAStreamScoresWithIsNotCollected(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.CollectEvery = time.Millisecond })
	client := c.client()
	var scores atomic.Uint64 // the version of partition 2; 0: it does not say
	w := newRobot(c, "w1", nil)
	w.says = func(l *apiv1.Lease, p *apiv1.StreamPartition) {
		p.ModelVersion = l.Models[0].Version
		if l.Index == 2 {
			p.ModelVersion = scores.Load()
		}
	}
	c.employ(w)
	const versions = 7
	c.versions(client, versions)
	if got := c.collected(client); got != nil {
		t.Errorf("collected %v while a partition does not say what it scores with", got)
	}
	scores.Store(2)
	c.eventually("all but what is needed are collected", func() bool { return len(c.collected(client)) > 0 })
	if got := c.collected(client); !slices.Equal(got, []uint64{1, 3, 4}) {
		t.Errorf("collected %v", got)
	}
	scores.Store(versions)
	c.eventually("so is what was scored with", func() bool { return slices.Equal(c.collected(client), []uint64{1, 2, 3, 4}) })
	_, err := client.Promote(c.ctx(), &apiv1.PromoteRequest{Model: "flights", Version: 2})
	if err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "was collected (trainer.keep_checkpoints)") {
		t.Errorf("promoted: %v", err)
	}
	c.eventually("three versions are offered to streams", func() bool { // the worker knows with its next poll
		leases := w.leases()
		return len(leases) > 0 && !slices.ContainsFunc(leases, func(l *apiv1.Lease) bool { return len(l.Models) != 3 })
	})
}
