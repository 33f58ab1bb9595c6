package worker

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// sureSpec is flightSpec with calibrated probabilities, sets of labels and folds.
var sureSpec = strings.NewReplacer(`threshold: {optimize: f1}`, `threshold: {optimize: f1}, calibration: isotonic`,
	"  trainer:", "  model: {type: linear, uncertainty: {type: conformal, coverage: 0.8}}\n  trainer:",
	"  preprocessing:\n", "  preprocessing:\n    split: {type: random, probabilities: [0.5, 0.3, 0.2], folds: 2}\n").Replace(flightSpec)

// Half of the validation rows are for what is made of the trained model. What is made has
// the same bytes however the shards are shared out, and what it says is measured on others.
func TestAModelIsCalibratedByTheSameRowsHoweverShardsAreSharedOut(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = sureSpec
	trained := ""
	b.after = func(stage string) {
		if stage == "train" {
			trained = b.inputs["checkpoint"]
		}
	}
	want, metrics, counts := b.all(flightShards)
	validation, kept := counts["rows.validation"], counts["rows.calibration"]
	if n := float64(validation + kept); kept < int64(0.4*n) || kept > int64(0.6*n) || metrics["validation.rows"] != float64(validation) || n < 0.25*flightShards*flightRows {
		t.Errorf("%d rows for validation, %d for calibration, metrics of %v", validation, kept, metrics["validation.rows"])
	}
	if trained == b.inputs["checkpoint"] {
		t.Error("the version is not calibrated")
	}
	var doc evaluation.Document
	ref, err := thalweg.ParseObjectRef(b.inputs["evaluation"])
	if err == nil {
		var body []byte
		if body, err = checkpoint.GetObject(t.Context(), b.worker.state, ref); err == nil {
			err = json.Unmarshal(body, &doc)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	c := doc.Calibration
	if c == nil || c.Rows != kept || c.Method != "isotonic" || c.After[metric.LogLoss].Value != metrics["test.log_loss"] || c.Before[metric.LogLoss] == c.After[metric.LogLoss] || len(c.Before) != 3 {
		t.Errorf("%+v", c)
	}
	// 400 test rows, and 300 for calibration: within 4 deviations.
	if at := metrics["test.coverage"]; at < 0.8-0.13 || at > 0.8+0.13 || metrics["test.set_size"] <= 0.8 || metrics["test.set_size"] > 2 {
		t.Errorf("coverage %v by sets of %v", at, metrics["test.set_size"])
	}
	if s := doc.Slices[0].Metrics; s[metric.Coverage].Interval == nil || s[metric.SetSize].Value == 0 {
		t.Errorf("a slice has no coverage: %v", s)
	}
	if !strings.Contains(b.inputs["calibration"], "log_loss") || !strings.Contains(b.inputs["slices"], "coverage") || !strings.Contains(b.inputs["folds"], "coverage") {
		t.Errorf("%s\n%s\n%s", b.inputs["calibration"], b.inputs["slices"], b.inputs["folds"])
	}
	// The threshold is one of the probabilities that rows have.
	artifact, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	if at := *artifact.Provenance.Threshold; at != metrics["threshold"] || at == artifact.Provenance.Metrics["validation.threshold"] || at <= 0 || at >= 1 {
		t.Errorf("threshold %v, of the loss's probabilities %v", at, artifact.Provenance.Metrics)
	}
	again := newBatchHalf(t)
	again.spec = sureSpec
	got, gotMetrics, gotCounts := again.all(1)
	if !maps.Equal(got, want) || !maps.Equal(gotMetrics, metrics) || !maps.Equal(gotCounts, counts) {
		t.Errorf("by 1 task: %v %v %v, by one a shard: %v %v %v", got, gotMetrics, gotCounts, want, metrics, counts)
	}
}

func TestACoverageThatTooFewRowsCanShowEndsTheRunBeforeTraining(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(sureSpec, "coverage: 0.8", "coverage: 0.999", 1)
	if report := b.upTo("fit", 1); !strings.Contains(report.Error, "needs at least 999 rows for calibration") || !report.Permanent {
		t.Errorf("%v", report)
	}
}
