//go:build integration

package integration

import (
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
)

// searchOf returns what a run found by its search: the best values, and the sha256 of all
// trials, in which there is that of the model of each, and of the version.
func searchOf(run *apiv1.Run) string {
	_, sum, _ := strings.Cut(run.Outputs["search"], "#")
	return run.Outputs["parameters"] + " " + sum + " " + run.Outputs["model_sha256"]
}

// TestASearchIsTheSameWhateverIsKilled searches models on real processes: on two workers
// undisturbed, on two of which one is killed in the midst together with the leader, and on two
// that are killed both while a third has come. All find the same values and models, bit for bit.
func TestASearchIsTheSameWhateverIsKilled(t *testing.T) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server})
	const output = `{name: y, type: binary, expression: "delay > 15"}`
	searching := func(_ *apiv1.Run, stages map[string]*apiv1.Stage) bool {
		s := stages["search"]
		return s != nil && s.TasksDone > 1
	}
	const rate = "trainer.optimizer.learning_rate: {space: loguniform, lower: 0.001, upper: 0.1}"
	const trainer = "trainer: {epochs: 9, early_stop: 0, batch_size: 64, optimizer: {type: adam}, distributed: {replicas: 4, sync_every: 8}}\n  "
	runs, want := map[string]string{}, map[string]string{}
	for name, more := range map[string]string{
		"search":       trainer + "search: {algorithm: {type: simulated_annealing}, max_trials: 8, parallel_trials: 3, parameters: {" + rate + "}}",
		"search-trees": "model: {type: trees, trees: 27}\n  search: {algorithm: {type: halving}, max_trials: 9, parameters: {model.max_leaves: {space: logint, lower: 2, upper: 60}, model.learning_rate: {space: uniform, lower: 0.05, upper: 0.4}}}",
	} {
		runs[name] = apply(t, c, kindSpec(name, output, more))
		run := waitRun(t, c, runs[name], "the undisturbed run of "+name, succeeded)
		if want[name] = searchOf(run); !strings.Contains(want[name], run.Outputs["trial_model"]) || run.Outputs["trial_model"] == "" {
			t.Fatalf("%s found %s, and its best model is %s", name, want[name], run.Outputs["trial_model"])
		}
	}
	for _, disturb := range []func(){
		func() {
			leader := c.Leader(t)
			c.KillWorker(0)
			c.KillCoordinator(leader)
			c.RestartCoordinator(t, leader)
			c.RestartWorker(t, 0)
		},
		func() { c.AddWorker(t); c.KillWorker(0); c.KillWorker(1) },
	} {
		for name := range runs {
			runs[name] = startRun(t, c, "same-"+name)
			waitRun(t, c, runs[name], "the search of "+name, searching)
		}
		disturb()
		for name, id := range runs {
			if got := searchOf(waitRun(t, c, id, "the disturbed run of "+name, succeeded)); got != want[name] {
				t.Errorf("%s found %s, undisturbed %s", name, got, want[name])
			}
		}
	}
}
