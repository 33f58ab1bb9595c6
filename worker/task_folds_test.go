package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// foldSpec is flightSpec with cross-validation, and with what a model can learn from labels.
func foldSpec(how string) string {
	spec := strings.Replace(flightSpec, "  preprocessing:\n", "  preprocessing:\n    split: {"+how+"}\n", 1)
	return strings.Replace(spec, "{name: origin, type: category}", "{name: origin, type: category, encoder: {type: target}}", 1)
}

// folds returns what a run found of its folds.
func (b *batchHalf) folds() *evaluation.Folds {
	b.t.Helper()
	var out evaluation.Folds
	if err := b.worker.load(b.t.Context(), b.inputs["cross_validation"], "folds", &out); err != nil {
		b.t.Fatal(err)
	}
	return &out
}

// Folds leave the same bytes however shards are shared out, whether prepared rows are kept
// or made anew, and the version is the one that there is without them.
func TestFoldsLeaveTheSameWhoeverComputesThem(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = foldSpec("type: random, folds: 3")
	want, metrics, _ := b.all(flightShards)
	folds := b.folds()
	models := make(map[string]bool)
	var rows int64
	for _, f := range folds.Folds {
		models[f.Model] = true
		rows += f.Rows
		if f.Trained == 0 || f.Validated == 0 || f.Metrics["roc_auc"] <= 0.5 || f.Metrics["f1"] <= 0 {
			t.Errorf("fold %+v", f)
		}
	}
	if len(models) != 3 || rows != b.counts["rows.train"]+b.counts["rows.validation"] {
		t.Errorf("%d models, %d rows of folds, counts %v", len(models), rows, b.counts)
	}
	mean := folds.Means["roc_auc"]
	if mean.Of != 3 || metrics["folds.roc_auc"] != mean.Value || metrics["folds.roc_auc.low"] >= mean.Value || metrics["folds.roc_auc.deviation"] <= 0 {
		t.Errorf("mean %+v of metrics %v", mean, metrics)
	}
	if got := b.decoded(); got != 2*flightShards*flightRows {
		t.Errorf("%v rows decoded of %d", got, flightShards*flightRows)
	}
	for _, tasks := range []uint32{1, 3} {
		other := newBatchHalf(t)
		other.spec = b.spec
		if tasks == 1 {
			other.worker.cfg.KeepBytes = 1
		}
		if got, _, _ := other.all(tasks); !maps.Equal(got, want) {
			t.Errorf("by %d tasks: %v, want %v", tasks, got, want)
		}
	}
	plain := newBatchHalf(t)
	plain.spec = strings.Replace(b.spec, ", folds: 3", "", 1)
	if got, _, _ := plain.all(2); got["model_sha256"] != want["model_sha256"] || got["transform"] == "" {
		t.Errorf("without folds the model is %s, with them %s", got["model_sha256"], want["model_sha256"])
	}
}

// heldOut returns which rows of a shard are in a fold.
func (b *batchHalf) heldOut(shard, fold int) map[int64]bool {
	b.t.Helper()
	d, err := b.worker.openData(b.t.Context(), b.lease())
	if err != nil {
		b.t.Fatal(err)
	}
	d.view = split.Without(fold)
	out := make(map[int64]bool)
	for rows, err := range d.prepared(b.t.Context(), shard, false, new(pipeline.Report)) {
		if err != nil {
			b.t.Fatal(err)
		}
		numbers := table.Rows(rows.Tail)
		for i, s := range feature.Splits(rows.Tail, nil) {
			if s == split.Test {
				out[numbers[i]] = true
			}
		}
	}
	return out
}

// A model of the other folds knows nothing of the rows of its fold: whatever their labels
// are, it is the same, while those that have learned from them are others.
func TestAFoldIsHeldOutOfAllThatIsLearned(t *testing.T) {
	label := "type: binary, expression: \"delay > 15\", threshold: {optimize: f1}"
	for name, of := range map[string]struct{ how, label, model string }{
		"linear":    {"type: random, folds: 3", label, ""},
		"no others": {"type: random, folds: 3, probabilities: [1, 0, 0]", "type: binary, expression: \"delay > 15\"", ""},
		"trees":     {"type: stratify, column: origin, folds: 3", label, "{type: trees, trees: 5, max_leaves: 4}"},
		"number":    {"type: hash, column: origin, folds: 3", "type: number, expression: \"delay\"", ""},
		"count":     {"type: random, folds: 3", "type: count, expression: \"max(delay, 0)\"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			const fold = 2
			b := newBatchHalf(t)
			b.spec = strings.Replace(foldSpec(of.how), label, of.label, 1)
			if of.model != "" {
				b.spec = strings.Replace(b.spec, ", encoder: {type: target}", "", 1)
				b.spec = strings.Replace(b.spec, "    - {name: gates, type: list}\n", "", 1)
				b.spec = strings.Replace(b.spec, "  trainer: {epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}\n", "  model: "+of.model+"\n  trainer: {distributed: {replicas: 2}}\n", 1)
			}
			if report := b.upTo("cross_validate", 2); report.Error != "" {
				t.Fatal(report.Error)
			}
			want := b.folds()
			other := b.again()
			for shard := range flightShards {
				held := b.heldOut(shard, fold)
				if len(held) == 0 {
					t.Fatal("no row is held out")
				}
				data := delayedFile(t, shard, func(row int, delay int64) int64 {
					if held[int64(row)] {
						return 40 - delay
					}
					return delay
				})
				if _, err := b.lake.Put(t.Context(), fmt.Sprintf("flights/%d.parquet", shard), data); err != nil {
					t.Fatal(err)
				}
			}
			if report := other.upTo("cross_validate", 2); report.Error != "" {
				t.Fatal(report.Error)
			}
			got := other.folds()
			for i := range got.Folds {
				if same := got.Folds[i].Model == want.Folds[i].Model; same != (i == fold-1) {
					t.Errorf("fold %d: the models are the same: %v", i+1, same)
				}
			}
			if maps.Equal(got.Folds[fold-1].Metrics, want.Folds[fold-1].Metrics) {
				t.Error("other labels are measured alike")
			}
		})
	}
}

func TestFoldsOfClassesTellThoseThatTheOthersLack(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(foldSpec("type: hash, column: delay, folds: 2"), "type: binary, expression: \"delay > 15\", threshold: {optimize: f1}", "type: category, expression: \"delay\"", 1)
	b.spec = strings.Replace(b.spec, ", encoder: {type: target}", "", 1)
	report := b.upTo("cross_validate", 2)
	if report.Error != "" || !slices.ContainsFunc(report.Warnings, func(w string) bool {
		return strings.Contains(w, "their class is none that a row of the other folds has")
	}) {
		t.Errorf("%v", report)
	}
}

func TestAFoldWithoutOthersToLearnFromIsNamed(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(foldSpec("type: hash, column: half, folds: 2, probabilities: [1, 0, 0]"), "{filter: {expression: \"distance > 0\"}}", "{filter: {expression: \"distance > 0\"}}\n      - {derive: {column: half, expression: \"'one'\"}}", 1)
	b.spec = strings.Replace(b.spec, ", threshold: {optimize: f1}", "", 1)
	report := b.upTo("cross_validate", 2)
	if !report.Permanent || !strings.Contains(report.Error, "fold") || !strings.Contains(report.Error, "no row of the other folds is left to train on") {
		t.Errorf("%v", report)
	}
}

// A gate over folds goes by their mean.
func TestAGateOverFoldsGoesByTheirMean(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(foldSpec("type: random, folds: 3"), "  evaluation: {", "  evaluation: {gates: [{metric: roc_auc, lower_bound: 0.999, over: folds}, {metric: roc_auc, lower_bound: 0.5, over: folds, judge_by: interval}], ", 1)
	_, metrics, _ := b.all(2)
	var doc evaluation.Document
	if err := b.worker.load(t.Context(), b.inputs["evaluation"], "evaluation", &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Gates) != 2 || doc.Gates[0].Passed || !doc.Gates[1].Passed || !strings.Contains(doc.Gates[0].Found, fmt.Sprintf("is %.6g", metrics["folds.roc_auc"])) || !strings.Contains(doc.Gates[0].Gate, "in the mean over folds") {
		t.Errorf("gates %+v", doc.Gates)
	}
	if _, ok := doc.Folds.Folds[0].Metrics[metric.Rows]; doc.Folds == nil || len(doc.Folds.Folds) != 3 || !ok {
		text, _ := json.Marshal(doc.Folds)
		t.Errorf("folds %s", text)
	}
}
