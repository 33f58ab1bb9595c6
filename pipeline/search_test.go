package pipeline_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

const searched = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: a}
spec:
  sources: {train: {s3: {path: "s3://lake/a.parquet"}, format: {type: parquet}}}
  input_features:
    - {name: x, type: number}
    - name: town
      type: category
  output_features: [{name: y, type: binary}]
  model: {type: mlp}
  search:
    parameters:
      trainer.optimizer.learning_rate: {space: loguniform, lower: 0.00001, upper: 1}
      model.hidden: {space: choice, values: [[8], [16, 4]]}
      model.activation: {space: choice, values: [relu, "tanh"]}
      input_features.town.min_count: {space: int, lower: 1, upper: 3}
      input_features.0.normalization: {space: choice, values: [zscore, none]}
  trainer:
    optimizer: {type: adam}
`

// A search is rendered so that it is read again as it is, and the same spec as JSON is the
// same.
func TestASearchIsRenderedAsItIsRead(t *testing.T) {
	s := parse(t, "a.yaml", []byte(searched))
	text, err := pipeline.Render(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pipeline.Render(parse(t, "b.yaml", text))
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("%v\n%s\nis read as\n%s", err, text, again)
	}
	for _, want := range []string{"values: [[8], [16, 4]]", "values: [relu, tanh]", "metric: log_loss", "goal: minimize", "lower: 1.0e-05"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	var document any
	if err := yaml.Unmarshal([]byte(searched), &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := pipeline.Render(parse(t, "a.json", asJSON)); err != nil || !bytes.Equal(other, text) {
		t.Errorf("%v\nas JSON it is\n%s", err, other)
	}
}

// Trials are compared by folds where a search asks for them, or where validation rows are few and
// folds can be kept from what models learn.
func TestTrialsAreComparedByFoldsOfFewRows(t *testing.T) {
	for _, c := range []struct {
		search, split, clean string
		few, many, cut       int
		says                 string
	}{
		{"", "", "", 5, 0, 5, "the validation rows, of fewer than 300 by 5 folds"},
		{"folds: 1", "", "", 0, 0, 0, "the validation rows"},
		{"folds: 7", "", "", 7, 7, 7, "7 folds"},
		{"", "type: stratify, column: town", "", 5, 0, 5, "the validation rows, of fewer than 300 by 5 folds"},
		{"", "type: datetime, column: day", "", 0, 0, 0, "the validation rows"},
		{"", "type: random, folds: 3", "", 3, 0, 3, "the validation rows, of fewer than 300 by 3 folds"},
		{"folds: 3", "type: random, folds: 3", "", 3, 3, 3, "3 folds"},
		{"folds: 1", "type: random, folds: 3", "", 0, 0, 3, "the validation rows"},
		{"", "", "outliers: {column: x, method: iqr, action: clip}", 0, 0, 0, "the validation rows"},
	} {
		text := searched
		if c.search != "" {
			text = strings.Replace(text, "  search:\n", "  search:\n    "+c.search+"\n", 1)
		}
		if c.clean != "" {
			text += "  preprocessing: {clean: [{" + c.clean + "}]}\n"
		} else if c.split != "" {
			text += "  preprocessing: {split: {" + c.split + "}}\n"
		}
		s := parse(t, "a.yaml", []byte(text))
		if few, many := s.TrialFolds(299), s.TrialFolds(300); few != c.few || many != c.many || s.Folds() != c.cut {
			t.Errorf("%+v: %d folds of few rows, %d of many, of %d", c, few, many, s.Folds())
		}
		if got, want := s.SearchText(), "at most 20 trials, compared by "+c.says; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for what, want := range map[string]string{
		"preprocessing: {split: {type: datetime, column: day}}":                        "a datetime split has no folds",
		"preprocessing: {split: {type: random, folds: 3}}":                             "the rows are cut into 3 folds by preprocessing.split",
		"preprocessing: {clean: [{outliers: {column: x, method: iqr, action: clip}}]}": "a cleaning step learns from the rows of all folds",
	} {
		text := strings.Replace(searched, "  search:\n", "  search:\n    folds: 4\n", 1) + "  " + what + "\n"
		if _, err := pipeline.Parse(catalog.All(), "a.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The spec of a trial is the user's with the values in it: fields that it has, fields that
// it leaves out, items of lists by name and by number, and defaults that follow from values.
func TestTheSpecOfATrialIsTheUsersWithTheValues(t *testing.T) {
	values := pipeline.Values{"trainer.optimizer.learning_rate": "0.25", "model.hidden": "[16, 4]", "model.activation": "tanh",
		"input_features.town.min_count": "3", "input_features.0.normalization": "none", "trainer.optimizer.type": "adamw",
		"defaults.number.missing_value_strategy": "fill_with_const", "output_features.y.loss.type": "cross_entropy", "output_features.y.loss.positive_class_weight": "auto"}
	got, err := pipeline.ParseWith(catalog.All(), "a.yaml", []byte(searched), values)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(searched, "  search:\n")
	text = strings.NewReplacer("model: {type: mlp}", "model: {type: mlp, hidden: [16, 4], activation: tanh}", "x, type: number", "x, type: number, normalization: none",
		"type: category", "type: category\n      min_count: 3", "y, type: binary", "y, type: binary, loss: {type: cross_entropy, positive_class_weight: auto}").Replace(text) +
		"  trainer: {optimizer: {type: adamw, learning_rate: 0.25}}\n  defaults: {number: {missing_value_strategy: fill_with_const}}\n"
	want := parse(t, "b.yaml", []byte(text))
	a, _ := pipeline.Render(got)
	b, _ := pipeline.Render(want)
	if !bytes.Equal(a, b) || !got.Spec.Trainer.Regularization.Decoupled {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if pipeline.FitsAlike(got, parse(t, "a.yaml", []byte(searched))) || !pipeline.FitsAlike(got, want) {
		t.Error("other features fit alike, or the same do not")
	}
	for _, values := range []pipeline.Values{{"trainer.batch_size": "0"}, {"model.dropout": "{a: 1}"}, {"model.dropout": "]"}, {"model.dropout": ""}, {"input_features.z.type": "number"}, {"trainer.seed.x": "1"}, {"": "1"}} {
		if _, err := pipeline.ParseWith(catalog.All(), "a.yaml", []byte(searched), values); err == nil || strings.Contains(err.Error(), "a.yaml") {
			t.Errorf("%v is no trial, and was read as one", values)
		}
	}
}

// A spec without a search is not changed by what a search reads of it.
func TestWhatASpecFitsDoesNotDependOnItsSearch(t *testing.T) {
	with := parse(t, "a.yaml", []byte(searched))
	without, err := pipeline.ParseWith(catalog.All(), "a.yaml", []byte(searched), nil)
	if err != nil {
		t.Fatal(err)
	}
	if pipeline.FittingHash(with) != pipeline.FittingHash(without) || pipeline.CleaningHash(with) != pipeline.CleaningHash(without) || pipeline.TrainingHash(with) == pipeline.TrainingHash(without) {
		t.Error("a search changes what features are fitted to, or no version")
	}
	side := parse(t, "a.yaml", []byte(strings.Replace(searched, "  search:\n", "  search:\n    parallel_trials: 3\n", 1)))
	if pipeline.TrainingHash(with) != pipeline.TrainingHash(side) {
		t.Error("how many trials run at once changes the version")
	}
}
