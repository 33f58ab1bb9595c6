//go:build integration

package integration

import (
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
)

// searchOf returns what a run found by its search: the best values, and the sha256 of all
// trials, in which there is that of the model of each, and of the version; "" where that is not
// the best trial's model.
func searchOf(run *apiv1.Run) string {
	_, sum, _ := strings.Cut(run.Outputs["search"], "#")
	if model := run.Outputs["model_sha256"]; model != "" && model == run.Outputs["trial_model"] {
		return run.Outputs["parameters"] + " " + sum + " " + model
	}
	return ""
}

// TestASearchIsTheSameWhateverIsKilled searches models of each kind on real processes: on
// two workers undisturbed, on two of which one is killed in the midst together with the
// leader, on four and on one. All find the same values and models, bit for bit.
func TestASearchIsTheSameWhateverIsKilled(t *testing.T) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server})
	searching := func(_ *apiv1.Run, stages map[string]*apiv1.Stage) bool {
		s := stages["search"]
		return s != nil && s.TasksDone > 1
	}
	const rate = "trainer.optimizer.learning_rate: {space: loguniform, lower: 0.001, upper: 0.1}"
	const trainer = "trainer: {epochs: 9, early_stop: 0, batch_size: 64, optimizer: {type: adam}, distributed: {replicas: 4, sync_every: 8}}\n  "
	sameResultWhateverIsKilled(t, c, map[string]string{
		"search":       trainer + "search: {algorithm: {type: simulated_annealing}, max_trials: 8, parallel_trials: 3, parameters: {" + rate + "}}",
		"search-trees": "model: {type: trees, trees: 27}\n  search: {algorithm: {type: halving}, max_trials: 9, parameters: {model.max_leaves: {space: logint, lower: 2, upper: 60}, model.learning_rate: {space: uniform, lower: 0.05, upper: 0.4}}}",
		"search-mlp":   "model: {type: mlp, hidden: [8]}\n  " + trainer + "search: {algorithm: {type: genetic, population: 3}, max_trials: 8, parameters: {" + rate + ", model.dropout: {space: uniform, lower: 0.0, upper: 0.5}, input_features.distance.normalization: {space: choice, values: [zscore, minmax]}}}",
	}, searchOf, searching,
		func() {
			leader := c.Leader(t)
			c.KillWorker(0)
			c.KillCoordinator(leader)
			c.RestartCoordinator(t, leader)
			c.RestartWorker(t, 0)
		},
		func() { c.AddWorker(t); c.AddWorker(t) },
		func() { c.KillWorker(0); c.KillWorker(1); c.KillWorker(2) },
	)
}
