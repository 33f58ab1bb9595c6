//go:build integration

package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// kinds are the losses, optimizers and the warm start that
// TestTheModelIsTheSameWhateverIsKilled leaves out, by name: the output feature, and the
// trainer or model.
func kinds() map[string][2]string {
	const trainer = "epochs: 6, early_stop: 0, batch_size: 256, distributed: {replicas: 4, sync_every: 8}"
	const binary = `{name: y, type: binary, expression: "delay > 15"}`
	all := map[string][2]string{
		"softmax":       {`{name: y, type: category, expression: "delay <= 0 ? 'early' : delay <= 15 ? 'on time' : 'late'"}`, "trainer: {" + trainer + "}"},
		"classes-trees": {`{name: y, type: category, expression: "delay <= 0 ? 'early' : delay <= 15 ? 'on time' : 'late'"}`, "model: {type: trees, trees: 15, max_leaves: 7}"},
		"poisson":       {`{name: y, type: count, expression: "delay > 0 ? delay : 0"}`, "trainer: {" + trainer + "}"},
		"hinge":         {`{name: y, type: binary, expression: "delay > 15", loss: {type: hinge}}`, "trainer: {" + trainer + "}"},
		"quantile":      {`{name: y, type: number, expression: "delay", loss: {type: quantile, levels: [0.1, 0.9]}}`, "trainer: {" + trainer + "}"},
		"warm":          {binary, "trainer: {" + trainer + ", optimizer: {type: momentum}, warm_start: 1}"},
	}
	for _, e := range optim.Catalog() {
		if _, steps := e.Options.(optim.Optimizer); steps && e.Name != "adam" {
			all[strings.ReplaceAll(e.Name, "_", "-")] = [2]string{binary, "trainer: {" + trainer + ", optimizer: {type: " + e.Name + "}}"}
		}
	}
	return all
}

func kindSpec(name, output, more string) string {
	return fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: same-%s}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: distance, type: number}, {name: origin, type: category}, {name: hour, type: category, expression: "hour(date)"}]
  output_features: [%s]
  %s
`, name, output, more)
}

// TestEveryKindOfModelIsTheSameWhateverIsKilled trains models of many kinds at once on
// real processes: undisturbed, and on more workers while those and the leader are
// killed. Both of a kind are the same, bit for bit.
func TestEveryKindOfModelIsTheSameWhateverIsKilled(t *testing.T) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server})
	all, runs := kinds(), map[string]string{}
	waitRun(t, c, apply(t, c, kindSpec("warm", all["warm"][0], "trainer: {optimizer: {type: sgd}, epochs: 1}")), "the version to start from", succeeded)
	names := slices.Sorted(maps.Keys(all))
	for _, name := range names {
		runs[name] = apply(t, c, kindSpec(name, all[name][0], all[name][1]))
	}
	want, of := map[string]string{}, map[string]string{}
	for _, name := range names {
		want[name] = modelOf(t, c, waitRun(t, c, runs[name], "the undisturbed run of "+name, succeeded))
		if other, ok := of[want[name]]; ok {
			t.Errorf("%s has the parameters of %s", name, other)
		}
		of[want[name]] = name
	}
	c.AddWorker(t)
	c.AddWorker(t)
	for _, name := range names {
		runs[name] = startRun(t, c, "same-"+name)
	}
	met := map[string]bool{}
	for i, name := range names {
		waitRun(t, c, runs[name], name+" to train", func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool {
			return training(r, stages) || succeeded(r, stages)
		})
		if i%4 != 3 {
			continue
		}
		for name, id := range runs {
			waitRun(t, c, id, name, func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool {
				if training(r, stages) {
					met[name] = true
				}
				return true
			})
		}
		c.KillWorker(i / 4)
		if i == 7 {
			leader := c.Leader(t)
			c.KillCoordinator(leader)
			c.RestartCoordinator(t, leader)
		}
		c.RestartWorker(t, i/4)
	}
	for _, name := range names {
		if got := modelOf(t, c, waitRun(t, c, runs[name], "the disturbed run of "+name, succeeded)); got != want[name] {
			t.Errorf("%s: model %s, undisturbed %s", name, got, want[name])
		}
	}
	t.Logf("a kill met the rounds of %d of %d kinds", len(met), len(names))
	if len(met) == 0 {
		t.Error("no kill met a round")
	}
}
