package worker

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/train"
)

// Training rows are drawn or repeated, each copy being a row to the ledger, the same by any
// number of tasks and by what a run before has kept; validation and test rows are those that
// they are without. All are counted: what was read and repeated is what was dropped and used.
func TestTrainingRowsAreBalancedHoweverShardsAreSharedOut(t *testing.T) {
	plain := newBatchHalf(t)
	_, _, without := plain.all(1)
	for _, method := range []string{pipeline.Downsample, pipeline.Upsample} {
		spec := strings.Replace(flightSpec, `{filter: {expression: "distance > 0"}}`, `{filter: {expression: "distance > 0"}}
      - {derive: {column: far, expression: "distance > 2500", apply_to: [training]}}
      - {balance: {by: far, method: `+method+`}}`, 1)
		first := newBatchHalf(t)
		first.spec = spec
		want, _, counts := first.all(flightShards)
		const step = "3 balance"
		dropped, repeated := counts["dropped: "+step+": not drawn by far"], counts["repeated: "+step]
		if counts["rows.validation"] != without["rows.validation"] || counts["rows.test"] != without["rows.test"] ||
			(dropped > 0) != (method == pipeline.Downsample) || (repeated > 0) != (method == pipeline.Upsample) ||
			counts["rows.train"] != without["rows.train"]-dropped+repeated {
			t.Errorf("%s: %v, without %v", method, counts, without)
		}
		for _, tasks := range []uint32{1, 2} {
			b := newBatchHalf(t)
			b.spec = spec
			if got, _, gotCounts := b.all(tasks); !maps.Equal(got, want) || !maps.Equal(gotCounts, counts) {
				t.Errorf("%s by %d tasks: %v %v, by one a shard: %v %v", method, tasks, got, gotCounts, want, counts)
			}
		}
		again := first.again()
		if got, _, gotCounts := again.all(2); got["model_sha256"] != want["model_sha256"] || !maps.Equal(gotCounts, counts) {
			t.Errorf("%s: a second run has %v, the first %v", method, gotCounts, counts)
		}
		rows, err := first.worker.openRows(t.Context(), first.lease())
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for shard := range rows.manifest.Shards {
			seen := make(map[int64]bool)
			for batch, err := range rows.Read(t.Context(), shard) {
				if err != nil {
					t.Fatal(err)
				}
				for i, row := range batch.Row {
					if seen[row] {
						t.Errorf("%s: row %d of shard %d is there twice", method, row, shard)
					}
					if seen[row] = true; batch.Split[i] == train.Training {
						n++
					}
				}
			}
		}
		if n != counts["rows.train"] {
			t.Errorf("%s: %d training rows are read, %d were counted", method, n, counts["rows.train"])
		}
		table := strings.Fields(first.upTo("fit", 1).Outputs["balanced"])
		if len(table) != 9 || !slices.Equal(table[:3], []string{"far", "rows", "balanced"}) || table[3] != "false" || table[6] != "true" {
			t.Errorf("%s: %q", method, table)
		}
	}
}

// Rows that are weighed are those that there are without, however shards are shared out and by
// what a run before has kept: the model alone is another.
func TestTrainingRowsAreWeighedHoweverShardsAreSharedOut(t *testing.T) {
	spec := strings.Replace(flightSpec, `{filter: {expression: "distance > 0"}}`, `{filter: {expression: "distance > 0"}}
      - {derive: {column: far, expression: "distance > 2500", apply_to: [training]}}
      - {balance: {by: far, method: weights}}`, 1)
	plain := newBatchHalf(t)
	plain.spec = strings.Replace(spec, "\n      - {balance: {by: far, method: weights}}", "", 1)
	without, _, unweighed := plain.all(1)
	first := newBatchHalf(t)
	first.spec = spec
	want, _, counts := first.all(flightShards)
	rest := maps.Clone(counts)
	maps.DeleteFunc(rest, func(name string, _ int64) bool { return strings.HasPrefix(name, "balance") })
	if !maps.Equal(rest, unweighed) || want["model_sha256"] == without["model_sha256"] {
		t.Errorf("model %s of %v, without weights %s of %v", want["model_sha256"], counts, without["model_sha256"], unweighed)
	}
	for _, b := range []*batchHalf{newBatchHalf(t), first.again()} {
		b.spec = spec
		if got, _, gotCounts := b.all(2); got["model_sha256"] != want["model_sha256"] || !maps.Equal(gotCounts, counts) {
			t.Errorf("by two tasks: model %s of %v, by one a shard: %s of %v", got["model_sha256"], gotCounts, want["model_sha256"], counts)
		}
	}
	rows, err := first.worker.openRows(t.Context(), first.lease())
	if err != nil {
		t.Fatal(err)
	}
	sum, n, labels := 0.0, 0.0, 0.0
	seen := make(map[float32]int)
	for shard := range rows.manifest.Shards {
		for batch, err := range rows.Read(t.Context(), shard) {
			if err == nil {
				err = batch.Fill(table.NewMask(len(batch.Split)).Not())
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, split := range batch.Split {
				if split == train.Training {
					sum, n = sum+float64(batch.Block.Weights[i]), n+1
					labels += float64(batch.Block.Weights[i] * batch.Block.Labels[i])
					seen[batch.Block.Weights[i]]++
				}
			}
		}
	}
	// A row of which nothing is known has the rate of rows as they weigh.
	if a, err := first.worker.artifact(t.Context(), first.inputs["checkpoint"]); err != nil {
		t.Error(err)
	} else if got := float64(a.Constant()[0]); math.Abs(got-labels/sum) > 1e-6 || math.Abs(got-a.Transform.Label().Statistics.Mean) < 0.01 {
		t.Errorf("of a row of which nothing is known it says %v, the rate is %v, without weights %v", got, labels/sum, a.Transform.Label().Statistics.Mean)
	}
	shown := strings.Fields(first.upTo("fit", 1).Outputs["balanced"])
	if math.Abs(sum/n-1) > 1e-6 || int64(n) != counts["rows.train"] || len(seen) != 2 || len(shown) != 9 || !slices.Equal(shown[:3], []string{"far", "rows", "weight"}) {
		t.Errorf("%v rows weigh %v, %v: %v", n, sum, seen, shown)
	}
}

// Rows that are weighed by group and label give a model whose answers are as often true in
// either group, or nearly so, the same however shards are shared out.
func TestReweighingMoreThanHalvesTheGapBetweenGroups(t *testing.T) {
	spec := strings.NewReplacer(`{filter: {expression: "distance > 0"}}`, `{filter: {expression: "distance > 0"}}
      - {derive: {column: far, expression: "distance > 1500", apply_to: [training]}}`,
		"threshold: {optimize: f1}", "threshold: 0.62", "trainer: {epochs: 2,", "trainer: {epochs: 20,",
		"evaluation: {", "evaluation: {fairness: {sensitive: [far], min_rows: 20, remedy: reweigh}, gates: [{fairness: demographic_parity, upper_bound: 0.5}], ").Replace(flightSpec)
	run := func(spec string, tasks uint32) (gap float64, outputs map[string]string) {
		b := newBatchHalf(t)
		b.spec = spec
		outputs, _, _ = b.all(tasks)
		var d evaluation.Document
		if err := b.worker.load(t.Context(), b.inputs["evaluation"], "evaluation", &d); err != nil {
			t.Fatal(err)
		}
		return d.Fairness[0].Gaps["demographic_parity"].Difference, outputs
	}
	before, without := run(strings.Replace(spec, "reweigh", "none", 1), 2)
	after, outputs := run(spec, flightShards)
	t.Logf("demographic parity: a difference of %.3f, %.3f reweighed", before, after)
	if before < 0.3 || after > before/2 || !strings.Contains(without["gates"], "FAILED") || !strings.Contains(outputs["gates"], "passed") {
		t.Errorf("demographic parity: a difference of %v, %v without\n%s\n%s", after, before, outputs["gates"], without["gates"])
	}
	if _, again := run(spec, 1); again["model_sha256"] != outputs["model_sha256"] {
		t.Error("another model by one task")
	}
	if shown := strings.Fields(outputs["reweighed"]); len(shown) != 15 || shown[0] != "group" || !strings.HasPrefix(shown[5], "far=") {
		t.Errorf("%q", shown)
	}
}
