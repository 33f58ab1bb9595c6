package bench

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// The trees that are compared with LightGBM's.
const (
	benchTrees  = 150
	benchLeaves = 63
)

var treesLine = fmt.Sprintf("  model: {type: trees, trees: %d, max_leaves: %d}\n", benchTrees, benchLeaves)

// BenchmarkTrees trains 150 trees of 63 leaves on the flights, from rows that are
// read and cleaned first, beside LightGBM with one thread on arrays of the same rows.
// goal, on the full file: at least 0.8 of LightGBM's speed per CPU-second, its ROC AUC
// minus 0.002, and at most its log loss plus 0.001. Run it with GOMAXPROCS=1.
func BenchmarkTrees(b *testing.B) {
	f := open(b, treesLine)
	f.fit(b)
	var ours, peers float64
	var peer struct {
		Seconds float64 `json:"seconds"`
		Rows    int64   `json:"rows"`
		AUC     float64 `json:"roc_auc"`
		Loss    float64 `json:"log_loss"`
	}
	var values map[string]float64
	for b.Loop() {
		out, err := exec.Command(filepath.FromSlash("../../.cache/python/lightgbm/bin/python"), filepath.FromSlash("../lightgbm/peer.py"),
			flightsFile(), fmt.Sprint(benchTrees), fmt.Sprint(benchLeaves)).Output()
		if err != nil {
			b.Fatalf("LightGBM: %v: run integration/python.sh lightgbm first", err)
		}
		check(b, json.Unmarshal(out, &peer))
		peers += peer.Seconds
		before := cpu(b).Seconds()
		model, result := f.train(b, 1)
		ours += cpu(b).Seconds() - before
		values = f.evaluate(b, model, result.Params)
	}
	b.ReportMetric(ours/float64(b.N), "cpu-s")
	b.ReportMetric(peers/float64(b.N), "lightgbm-cpu-s")
	b.ReportMetric(peers/ours, "of-lightgbm")
	b.ReportMetric(values["roc_auc"], "roc_auc")
	b.ReportMetric(values["log_loss"], "log_loss")
	b.ReportMetric(peer.AUC, "lightgbm-roc_auc")
	b.ReportMetric(peer.Loss, "lightgbm-log_loss")
}

// BenchmarkScoreTrees scores the flights by those trees. goal: at least 0.6 Mrows and 0.35 Mevents a
// CPU-second.
func BenchmarkScoreTrees(b *testing.B) { benchmarkScoring(b, treesLine) }

// BenchmarkScoreNetwork scores the flights by networks, the default one and a larger one. goal: at
// least 0.3 Mevents a CPU-second.
func BenchmarkScoreNetwork(b *testing.B) {
	for _, hidden := range []string{"[64, 32]", "[128, 64]"} {
		b.Run(hidden, func(b *testing.B) {
			benchmarkScoring(b, fmt.Sprintf("  model: {type: mlp, hidden: %s}\n  trainer: {epochs: 2}\n", hidden))
		})
	}
}

// benchmarkScoring scores the flights by a model: alone, from features that are there, and in a
// stream, from fetch to a committed object.
func benchmarkScoring(b *testing.B, model string) {
	f := open(b, model)
	f.fit(b)
	b.Run("alone", func(b *testing.B) {
		a, result := f.train(b, 1)
		workspace := a.Model.NewPredictor()
		var predictions []float32
		var rows, seconds float64
		for b.Loop() {
			for batch, err := range (*trainingRows)(f).Read(b.Context(), 0) {
				check(b, err)
				predictions = append(predictions[:0], make([]float32, batch.Block.Rows)...)
				before := cpu(b)
				a.Model.Predict(workspace, result.Params, batch.Block, predictions)
				seconds += (cpu(b) - before).Seconds()
				rows += float64(batch.Block.Rows)
			}
		}
		b.ReportMetric(rows/seconds/1e6, "Mrows/core-s")
		if forest := a.Model.Forest(); forest != nil {
			b.ReportMetric(float64(forest.Count(result.Params)), "trees")
		}
	})
	b.Run("stream", func(b *testing.B) { f.stream(b, 500_000, nil) })
}
