package pipeline_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// incomplete is what is wrong with a part of a spec because it is only a part.
var incomplete = regexp.MustCompile(`missing|needs|record is of type|there is no source|a random split has no|a (number|category) has no|no meaning with|is for a (binary|number|count)|learns no encoder|has no positive class`)

// TestEveryFieldIsExplained: with a type and an example in which nothing is wrong
// but that the rest of the spec is missing.
func TestEveryFieldIsExplained(t *testing.T) {
	x := newExplainer(t)
	explained := 0
	var walk func(path string)
	walk = func(path string) {
		all, err := x.Explain(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			explained++
			if e.Path != path || e.Type == "" || e.Example == "" {
				t.Errorf("%s: %+v", path, e)
			}
			_, err := pipeline.Parse(catalog.All(), "", []byte(e.Example))
			var found *pipeline.SpecError
			if errors.As(err, &found) {
				for _, d := range found.Diagnostics {
					if !incomplete.MatchString(d.Message) {
						t.Errorf("the example of %s %s: %s\n%s", path, e.Of, d, e.Example)
					}
				}
			}
			last := ""
			for _, f := range e.Fields {
				if f.Path != last {
					walk(f.Path)
				}
				last = f.Path
			}
		}
	}
	walk("")
	if explained < 150 {
		t.Errorf("%d fields are explained, which cannot be all", explained)
	}
}

// TestExplanationsSayWhatTheSchemaSays: values, bounds and comments are the ones
// that Parse goes by, and defaults those of each entry.
func TestExplanationsSayWhatTheSchemaSays(t *testing.T) {
	x := newExplainer(t)
	for path, want := range map[string]string{
		"spec.trainer.epochs":                        "whole number, or auto",
		"spec.trainer.seed":                          "42",
		"spec.scoring.batching.period":               "duration",
		"spec.input_features.type":                   "number, category",
		"spec.input_features[3].expression":          "expression",
		"spec.preprocessing.clean.cast.type":         "string, int64",
		"spec.preprocessing.clean":                   "list of mappings",
		"spec.trainer.distributed.replicas":          "are cut into",
		"spec.scoring.dead_letter.kafka.topic":       "text",
		"spec.sources.events.format.delimiter":       "csv",
		"spec.trainer.optimizer.learning_rate":       "adam",
		"spec.scoring.sink.compaction.min_files":     "at least 2",
		"spec.preprocessing.clean.fill.columns":      "list of texts",
		"spec.sources.events.kafka.start_offset":     "earliest",
		"spec.output_features.loss":                  "cross_entropy",
		"spec.input_features.missing_value_strategy": "drop_row",
	} {
		all, err := x.Explain(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		text := ""
		for _, e := range all {
			text += e.Of + " " + e.Type + " " + e.Default + " " + e.Meaning + "\n"
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s: %s\nwant %s", path, text, want)
		}
	}
	for path, hint := range map[string]string{
		"spec.triner":                   "did you mean trainer?",
		"trainer.optimizer":             "did you mean spec.trainer.optimizer?",
		"spec.trainer.seed.x":           "spec.trainer.seed has no fields",
		"spec.trainer.optimizer.zzzzzz": "known are type, ",
		"spec..trainer":                 "known are sources",
	} {
		if _, err := x.Explain(path); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want %s", path, err, hint)
		}
	}
}

func newExplainer(t *testing.T) *pipeline.Explainer {
	t.Helper()
	x, err := pipeline.NewExplainer(catalog.All())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A field of an entry that several entries choose is explained once.
func TestWhatModelsHaveInCommonIsExplainedOnce(t *testing.T) {
	x := newExplainer(t)
	for path, of := range map[string]int{"spec.model.uncertainty.coverage": 1, "spec.model.uncertainty.quantiles": 2, "spec.model.uncertainty": len(catalog.All()[pipeline.Models])} {
		if all, err := x.Explain(path); err != nil || len(all) != of {
			t.Errorf("%s: %d explanations, want %d, %v", path, len(all), of, err)
		}
	}
}
