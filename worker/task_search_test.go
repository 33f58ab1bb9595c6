package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/search"
)

// searchSpec is flightSpec with a search.
func searchSpec(searched string) string {
	spec := strings.Replace(flightSpec, "trainer: {epochs: 2,", "trainer: {epochs: 2, optimizer: {type: adam},", 1)
	return spec + "  search: " + searched + "\n"
}

// found returns what a run found by its search.
func (b *batchHalf) found() *search.Result {
	b.t.Helper()
	var out search.Result
	if err := b.worker.load(b.t.Context(), b.inputs[searchInput], "search", &out); err != nil {
		b.t.Fatal(err)
	}
	return &out
}

// A search leaves the same bytes however shards are shared out, and the version is that of
// its best trial, which the spec with the values in it gives without a search.
func TestASearchRegistersItsBestTrial(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = searchSpec(`{metric: roc_auc, max_trials: 4, parameters: {trainer.optimizer.learning_rate: {space: loguniform, lower: 0.0001, upper: 0.3}, trainer.regularization.l2: {space: choice, values: [0, 1.5]}}}`)
	want, metrics, _ := b.all(flightShards)
	result := b.found()
	best := result.Trials[result.Best-1]
	models := make(map[string]bool)
	for _, trial := range result.Trials {
		models[trial.Model] = true
		if trial.Score == nil || *trial.Score != trial.Metrics["roc_auc"] || *trial.Score > *best.Score || trial.Epochs == 0 {
			t.Errorf("trial %+v", trial)
		}
	}
	if len(result.Trials) != 4 || len(models) != 4 || best.Model != b.inputs["model_sha256"] || metrics["validation.roc_auc"] != *best.Score {
		t.Errorf("%d models of %d trials, the best is %+v, the version %s with %v", len(models), len(result.Trials), best, b.inputs["model_sha256"], metrics)
	}
	if text := b.inputs["trials"]; !strings.Contains(text, fmt.Sprintf("the best is %d", best.Number)) || !strings.Contains(text, best.Values.Text()) || len(text) > api.MaxOutputBytes {
		t.Errorf("trials are shown as\n%s", text)
	}
	var doc evaluation.Document
	if err := b.worker.load(t.Context(), b.inputs["evaluation"], "evaluation", &doc); err != nil || doc.Search == nil || doc.Search.Best != result.Best {
		t.Errorf("the evaluation has %+v, %v", doc.Search, err)
	}
	if got := b.decoded(); got != 2*flightShards*flightRows {
		t.Errorf("%v rows decoded of %d", got, flightShards*flightRows)
	}
	other := newBatchHalf(t)
	other.spec = b.spec
	other.worker.cfg.KeepBytes = 1
	if got, _, _ := other.all(1); !maps.Equal(got, want) {
		t.Errorf("by one task without kept rows: %v, want %v", got, want)
	}
	plain := newBatchHalf(t)
	plain.spec = strings.Replace(flightSpec, "trainer: {epochs: 2,", "trainer: {epochs: 2, regularization: {l2: "+best.Values["trainer.regularization.l2"]+"}, optimizer: {type: adam, learning_rate: "+best.Values["trainer.optimizer.learning_rate"]+"},", 1)
	if got, _, _ := plain.all(2); got["model_sha256"] != want["model_sha256"] {
		t.Errorf("without a search the model is %s, with it %s", got["model_sha256"], want["model_sha256"])
	}
}

// A trial counts by the mean of the folds, which is that of a run of its values with such folds;
// its model is the one without them, and so is the version.
func TestTrialsAreComparedByFolds(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = searchSpec(`{metric: roc_auc, folds: 3, max_trials: 3, parameters: {trainer.optimizer.learning_rate: {space: loguniform, lower: 0.0001, upper: 0.3}}}`)
	want, metrics, _ := b.all(flightShards)
	result := b.found()
	best := result.Trials[result.Best-1]
	if result.Folds != 3 || !strings.Contains(b.inputs["trials"], "3 trials by 3 folds; the best is") || best.Model != b.inputs["model_sha256"] {
		t.Errorf("%d folds, the best trial %+v, the version %s\n%s", result.Folds, best, b.inputs["model_sha256"], b.inputs["trials"])
	}
	if b.inputs["cross_validation"] != "" || metrics["validation.roc_auc"] == *best.Score {
		t.Errorf("validation %v, folds %q", metrics["validation.roc_auc"], b.inputs["cross_validation"])
	}
	other := newBatchHalf(t)
	other.spec = b.spec
	other.worker.cfg.KeepBytes = 1
	if got, _, _ := other.all(1); !maps.Equal(got, want) {
		t.Errorf("by one task without kept rows: %v, want %v", got, want)
	}
	for _, trial := range result.Trials {
		plain := newBatchHalf(t)
		plain.spec = strings.Replace(flightSpec, "trainer: {epochs: 2,", "trainer: {epochs: 2, optimizer: {type: adam, learning_rate: "+trial.Values["trainer.optimizer.learning_rate"]+"},", 1)
		plain.spec = strings.Replace(plain.spec, "  preprocessing:\n", "  preprocessing:\n    split: {type: random, folds: 3}\n", 1)
		if report := plain.upTo("cross_validate", 2); report.Error != "" {
			t.Fatal(report)
		}
		if mean := plain.folds().Means["roc_auc"].Value; *trial.Score != mean {
			t.Errorf("trial %d has %v, the folds of its values %v", trial.Number, *trial.Score, mean)
		}
	}
}

// Trials of later generations follow from those before, features and kinds of models can be
// searched too, and the version has them.
func TestASearchOfFeaturesAndModelsFitsEach(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(searchSpec(`{algorithm: {type: genetic, population: 3}, max_trials: 7, parameters: {input_features.distance.normalization: {space: choice, values: [zscore, minmax, robust]}, input_features.origin.most_common: {space: int, lower: 1, upper: 8}, trainer.optimizer.learning_rate: {space: loguniform, lower: 0.01, upper: 0.3}}}`),
		"origin, type: category", "origin, type: category, min_count: 2", 1)
	b.all(2)
	result := b.found()
	best := result.Trials[result.Best-1]
	if best.Model != b.inputs["model_sha256"] || result.Trials[6].Generation != 3 {
		t.Errorf("the best trial %+v, the version %s", best, b.inputs["model_sha256"])
	}
	spec, err := b.worker.spec(b.lease())
	if err != nil {
		t.Fatal(err)
	}
	if spec.Searches() || spec.Spec.InputFeatures[0].Normalization != best.Values["input_features.distance.normalization"] || fmt.Sprint(*spec.Spec.InputFeatures[1].MostCommon) != best.Values["input_features.origin.most_common"] {
		t.Errorf("the spec of the version has %v, the best trial %v", spec.Spec.InputFeatures[0].Normalization, best.Values)
	}
}

// All kinds of models can be searched, in all ways.
func TestAllModelsAreSearched(t *testing.T) {
	for name, of := range map[string]struct{ model, trainer, searched string }{
		"trees": {"{type: trees}", "{distributed: {replicas: 2}}", `{algorithm: {type: halving, maximum: 9}, max_trials: 6, parameters: {model.max_leaves: {space: int, lower: 2, upper: 6}, model.learning_rate: {space: uniform, lower: 0.05, upper: 0.3}}}`},
		"mlp":   {"{type: mlp}", "{epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}", `{algorithm: {type: simulated_annealing}, max_trials: 4, parameters: {model.hidden: {space: choice, values: [[4], [4, 3]]}, model.dropout: {space: uniform, lower: 0.0, upper: 0.5}}}`},
		"both":  {"{type: linear}", "{distributed: {replicas: 2}}", `{algorithm: {type: grid}, parameters: {model.type: {space: choice, values: [linear, trees]}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatchHalf(t)
			b.spec = strings.Replace(flightSpec, "    - {name: gates, type: list}\n", "", 1)
			b.spec = strings.Replace(b.spec, "  trainer: {epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}\n", "  model: "+of.model+"\n  trainer: "+of.trainer+"\n  search: "+of.searched+"\n", 1)
			b.all(2)
			result := b.found()
			if best := result.Trials[result.Best-1]; best.Model != b.inputs["model_sha256"] || best.Partial {
				t.Errorf("the best trial %+v, the version %s\n%s", best, b.inputs["model_sha256"], b.inputs["trials"])
			}
			for _, trial := range result.Trials {
				if trial.Failed != "" {
					t.Errorf("trial %+v", trial)
				}
			}
		})
	}
}

// A trial that diverges fails alone, and says why; a run of which all do has failed.
func TestATrialThatDivergesIsShownAndTheOthersCount(t *testing.T) {
	b := newBatchHalf(t)
	searched := `{algorithm: {type: grid}, parameters: {trainer.optimizer.learning_rate: {space: choice, values: [1e30, 0.01]}}}`
	b.spec = strings.Replace(searchSpec(searched), "optimizer: {type: adam}", "optimizer: {type: sgd}", 1)
	report := b.upTo("search", 2)
	if report.Error != "" || !slices.ContainsFunc(report.Warnings, func(w string) bool { return strings.Contains(w, "1 of 2 trials failed") }) {
		t.Fatalf("report %v", report)
	}
	if result := b.found(); result.Best != 2 || !strings.Contains(result.Trials[0].Failed, "not finite") || !strings.Contains(b.inputs["trials"], "1 failed: ") {
		t.Errorf("trials %+v, shown as\n%s", result.Trials, b.inputs["trials"])
	}
	other := newBatchHalf(t)
	other.spec = strings.Replace(b.spec, "1e30, 0.01", "1e30, 2e30", 1)
	if report := other.upTo("search", 2); !report.Permanent || !strings.Contains(report.Error, "all 2 trials failed") || !strings.Contains(report.Error, "diverged") {
		t.Errorf("report %v", report)
	}
}

// The artifact says the spec with the values in it, and nothing of a search: it is what
// makes the version again. Models of folds have the values too.
func TestTheVersionsSpecHasTheValues(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(searchSpec(`{max_trials: 2, parameters: {trainer.optimizer.learning_rate: {space: uniform, lower: 0.01, upper: 0.02}}}`),
		"  preprocessing:\n", "  preprocessing:\n    split: {folds: 2}\n", 1)
	b.all(1)
	if best := b.found().Trials[b.found().Best-1]; best.Model != b.inputs["model_sha256"] || len(b.folds().Folds) != 2 {
		t.Errorf("the best trial %+v, the version %s, folds %+v", best, b.inputs["model_sha256"], b.folds())
	}
	var values pipeline.Values
	if err := json.Unmarshal([]byte(b.inputs[valuesInput]), &values); err != nil {
		t.Fatal(err)
	}
	d, err := b.worker.openData(t.Context(), b.lease())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := b.worker.openRows(t.Context(), b.lease())
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.New(d.plan, rows.transform)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := a.Spec.Spec.Field("trainer.optimizer.learning_rate"); got != values["trainer.optimizer.learning_rate"] || a.Spec.Searches() {
		t.Errorf("the artifact's spec has the rate %s, found was %v", got, values)
	}
}

// foldedSearch is a search whose trials are compared by folds.
const foldedSearch = "{metric: log_loss, folds: 3, max_trials: 2, parameters: {trainer.optimizer.learning_rate: {space: loguniform, lower: 0.0001, upper: 0.3}}}"

// What clean remembers of a split by strata is not what a search's folds need.
func TestASearchCanBeAddedToAStratifiedSplit(t *testing.T) {
	stratified := func(spec string) string {
		return strings.Replace(spec, "  preprocessing:\n", "  preprocessing:\n    split: {type: stratify, column: origin}\n", 1)
	}
	b := newBatchHalf(t)
	b.spec = stratified(flightSpec)
	if r := b.upTo("fit", 1); r.Error != "" {
		t.Fatal(r.Error)
	}
	again := b.again()
	again.spec = stratified(searchSpec(foldedSearch))
	if r := again.upTo("fit", 1); r.Error != "" {
		t.Error(r.Error)
	}
}

func TestASearchComparesByAMetricThatIsNotEvaluated(t *testing.T) {
	for _, folds := range []string{"folds: 3", "folds: 1"} {
		b := newBatchHalf(t)
		b.spec = strings.Replace(searchSpec(strings.Replace(foldedSearch, "folds: 3", folds, 1)), "evaluation: {", "evaluation: {metrics: [roc_auc], ", 1)
		if r := b.upTo("search", 1); r.Error != "" {
			t.Errorf("%s: %s", folds, r.Error)
		}
	}
}
