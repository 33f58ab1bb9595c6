//go:build integration

package integration

import (
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
)

// foldsOf returns the sha256 of what a run found of its folds, in which there is that of
// the model of each.
func foldsOf(run *apiv1.Run) string {
	_, sum, _ := strings.Cut(run.Outputs["cross_validation"], "#")
	return sum
}

// TestFoldsAreTheSameWhateverIsKilled cross-validates models on real processes: on two
// workers undisturbed, on two of which one or both are killed in the midst, on four and on
// one. All leave the same models of the folds, bit for bit.
func TestFoldsAreTheSameWhateverIsKilled(t *testing.T) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server})
	folds := func(_ *apiv1.Run, stages map[string]*apiv1.Stage) bool {
		s := stages["cross_validate"]
		return s != nil && s.State != "waiting"
	}
	sameResultWhateverIsKilled(t, c, map[string]string{
		"folds":       "trainer: {epochs: 20, early_stop: 0, batch_size: 64, distributed: {replicas: 4, sync_every: 8}}\n  preprocessing: {split: {folds: 4}}",
		"folds-trees": "model: {type: trees, trees: 60}\n  preprocessing: {split: {type: stratify, column: origin, folds: 4}}",
	}, foldsOf, folds,
		func() { c.KillWorker(0); c.RestartWorker(t, 0) },
		func() { c.KillWorker(0); c.KillWorker(1); c.RestartWorker(t, 0); c.RestartWorker(t, 1) },
		func() { c.AddWorker(t); c.AddWorker(t) },
		func() { c.KillWorker(0); c.KillWorker(1); c.KillWorker(2) },
	)
}

// sameResultWhateverIsKilled runs specs of a binary output, given by their name and what else they
// say, undisturbed, and then once for each disturbance, which comes when all runs are in their
// midst. found is what all runs of a spec must have found alike, "" where something is wrong.
func sameResultWhateverIsKilled(t *testing.T, c *cluster, specs map[string]string, found func(*apiv1.Run) string, midst func(*apiv1.Run, map[string]*apiv1.Stage) bool, disturbances ...func()) {
	t.Helper()
	const output = `{name: y, type: binary, expression: "delay > 15"}`
	runs, want := map[string]string{}, map[string]string{}
	for name, more := range specs {
		run := waitRun(t, c, apply(t, c, kindSpec(name, output, more)), "the undisturbed run of "+name, succeeded)
		if want[name] = found(run); want[name] == "" {
			t.Fatalf("%s left %v", name, run.Outputs)
		}
	}
	for _, disturb := range disturbances {
		for name := range specs {
			runs[name] = startRun(t, c, "same-"+name)
			waitRun(t, c, runs[name], "the midst of the run of "+name, midst)
		}
		disturb()
		for name, id := range runs {
			if got := found(waitRun(t, c, id, "the disturbed run of "+name, succeeded)); got != want[name] {
				t.Errorf("%s found %s, undisturbed %s", name, got, want[name])
			}
		}
	}
}
