//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
)

// flightsSpec returns the demo's pipeline with more appended to its spec, at the
// indentation of a field of it.
func flightsSpec(t *testing.T, more string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(process.Root(t), "deploy", "demo", "flights.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + more
}

// newLake makes the buckets that a cluster needs, with the flights sample where
// the demo's pipeline looks for it.
func newLake(t *testing.T, server *minio.Server) storage.Bucket {
	t.Helper()
	opener := newOpener(t, server)
	newBucket(t, opener, "thalweg")
	lake := newBucket(t, opener, "lake")
	flights, err := os.ReadFile(filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lake.Put(t.Context(), "flights/flights.parquet", flights); err != nil {
		t.Fatal(err)
	}
	return lake
}

func apply(t *testing.T, c *cluster, spec string) (run string) {
	t.Helper()
	res, err := c.Client().Apply(t.Context(), &apiv1.ApplyRequest{Spec: spec, File: "flights.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	return res.RunId
}

func startRun(t *testing.T, c *cluster, pipeline string) (run string) {
	t.Helper()
	res, err := c.Client().StartRun(t.Context(), &apiv1.StartRunRequest{Pipeline: pipeline})
	if err != nil {
		t.Fatal(err)
	}
	return res.RunId
}

// waitRun waits until a run is as fact wants it, which gets the run and its
// stages by name; a failed run fails the test.
func waitRun(t *testing.T, c interface{ Client() *api.Client }, id, what string, fact func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool) *apiv1.Run {
	t.Helper()
	return waitRunFor(t, process.Patience, c, id, what, fact)
}

// waitRunFor is waitRun with another patience.
func waitRunFor(t *testing.T, patience time.Duration, c interface{ Client() *api.Client }, id, what string, fact func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool) *apiv1.Run {
	t.Helper()
	var run *apiv1.Run
	process.UntilFor(t, patience, what, func(ctx context.Context) error {
		res, err := c.Client().GetRun(ctx, &apiv1.GetRunRequest{RunId: id})
		if err != nil {
			return err
		}
		run = res.Run
		stages := map[string]*apiv1.Stage{}
		for _, s := range run.Stages {
			stages[s.Name] = s
		}
		switch {
		case fact(run, stages):
			return nil
		case run.State != "running":
			return fmt.Errorf("%w: run %s %s: %s", process.ErrHopeless, id, run.State, run.Error)
		}
		return fmt.Errorf("run %s is at %s: %v", id, run.Stage, stages[run.Stage])
	})
	return run
}

func succeeded(r *apiv1.Run, _ map[string]*apiv1.Stage) bool { return r.State == "succeeded" }

// training reports whether averaged rounds lie behind the run and more before it.
func training(_ *apiv1.Run, stages map[string]*apiv1.Stage) bool {
	s := stages["train"]
	return s != nil && s.State == "running" && s.RowsDone > 0
}

// modelOf returns the sha256 of the parameters that a run registered.
func modelOf(t *testing.T, c *cluster, run *apiv1.Run) string {
	t.Helper()
	res, err := c.Client().ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range res.Models {
		for _, v := range m.Versions {
			if v.RunId == run.Id {
				return v.ModelSha256
			}
		}
	}
	t.Fatalf("run %s registered no model", run.Id)
	return ""
}

// TestTheModelIsTheSameWhateverIsKilled trains one pipeline again and again on
// real processes: undisturbed, with each of them killed in the midst of the
// rounds, and with more workers and fewer. No run is lost, and all register the
// same parameters, bit for bit.
func TestTheModelIsTheSameWhateverIsKilled(t *testing.T) {
	// Enough rounds that a kill meets one, and a model so wide that a step touches a part.
	t.Run("sgd", func(t *testing.T) {
		t.Parallel() // each waits most of the time
		sameWhateverIsKilled(t, 1000, "crosses: [{all: pairs, buckets: 512}]", "trainer: {optimizer: {type: adam}, epochs: 40, early_stop: 100, batch_size: 64, distributed: {replicas: 4, sync_every: 8}}")
	})
	t.Run("lbfgs", func(t *testing.T) {
		t.Parallel() // each waits most of the time
		sameWhateverIsKilled(t, 100, "trainer: {optimizer: {type: lbfgs, tolerance: 1e-9, warm_epochs: 1}, regularization: {l2: 0.001}, distributed: {replicas: 4}}")
	})
	t.Run("trees", func(t *testing.T) {
		t.Parallel() // each waits most of the time
		sameWhateverIsKilled(t, 500, "model: {type: trees, max_leaves: 15, max_depth: 6, subsample: 0.7, column_sample: 0.8, monotone: {distance: -1}}", "trainer: {early_stop: 0, distributed: {replicas: 4}}")
	})
}

func sameWhateverIsKilled(t *testing.T, enough float64, fields ...string) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server})
	first := apply(t, c, flightsSpec(t, "  "+strings.Join(fields, "\n  ")+"\n"))
	run := waitRun(t, c, first, "the undisturbed run", succeeded)
	want := modelOf(t, c, run)
	if rounds := run.Metrics["train.rounds"]; rounds < enough {
		t.Errorf("%v rounds: too few for a kill to meet one", rounds)
	}

	for _, d := range []struct {
		name    string
		stage   func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool // when it happens
		disturb func() (restore func())
	}{
		{"a worker is killed in a round", training, func() func() {
			c.KillWorker(0)
			return func() { c.RestartWorker(t, 0) }
		}},
		{"the other worker is killed in a round and started again at once", training, func() func() {
			c.KillWorker(1)
			c.RestartWorker(t, 1)
			return func() {}
		}},
		{"all workers are killed in a round", training, func() func() {
			for i := range 2 {
				c.KillWorker(i)
			}
			for i := range 2 {
				c.RestartWorker(t, i)
			}
			return func() {}
		}},
		{"each worker is replaced in order in a round", training, func() func() {
			c.RollWorkers(t)
			return func() {}
		}},
		{"a worker is killed while it cleans", cleaning, func() func() {
			c.KillWorker(1)
			return func() { c.RestartWorker(t, 1) }
		}},
		{"the leader is killed in a round", training, func() func() {
			leader := c.Leader(t)
			c.KillCoordinator(leader)
			return func() { c.RestartCoordinator(t, leader) }
		}},
		{"a follower is killed in a round", training, func() func() {
			follower := (c.Leader(t) + 1) % 3
			c.KillCoordinator(follower)
			return func() { c.RestartCoordinator(t, follower) }
		}},
		{"all coordinators are killed in a round", training, func() func() {
			for i := range 3 {
				c.KillCoordinator(i)
			}
			for i := range 3 {
				c.RestartCoordinator(t, i)
			}
			return func() {}
		}},
		{"the store is killed in a round", training, func() func() {
			server.Kill()
			server.Restart(t)
			return func() {}
		}},
		{"two workers join in a round", training, func() func() {
			c.AddWorker(t)
			c.AddWorker(t)
			return func() {}
		}},
		{"four workers work from the start", started, func() func() { return func() {} }},
		{"three of four workers are killed in a round", training, func() func() {
			for i := range 3 {
				c.KillWorker(i)
			}
			return func() {}
		}},
		{"one worker is left from the start", started, func() func() { return func() {} }},
	} {
		ok := t.Run(d.name, func(t *testing.T) {
			id := startRun(t, c, run.Pipeline)
			waitRun(t, c, id, "the moment of the disturbance", d.stage)
			restore := d.disturb()
			disturbed := waitRun(t, c, id, "the disturbed run", succeeded)
			if got := modelOf(t, c, disturbed); got != want {
				t.Errorf("model %s, undisturbed %s", got, want)
			}
			restore()
		})
		if !ok {
			break // the cluster is not what the next case expects
		}
	}
}

func started(*apiv1.Run, map[string]*apiv1.Stage) bool { return true }

func cleaning(_ *apiv1.Run, stages map[string]*apiv1.Stage) bool {
	s := stages["clean"]
	return s != nil && s.State != "waiting"
}
