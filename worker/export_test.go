package worker

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func TestWhatHasNoFormInAFormatIsRefusedBeforeItIsTrained(t *testing.T) {
	spec := func(feature string) *pipeline.Spec {
		s, err := pipeline.Parse(catalog.All(), "export.yaml", []byte(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: export}
spec:
  sources: {train: {s3: {path: "s3://lake/rows/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: a, type: `+feature+`}]
  output_features: [{name: y, type: binary}]
  registry: {export: [onnx]}
`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plan, err := Stages().Plan(spec("number"), "", nil)
	if err != nil || plan[len(plan)-2].Name != "export" {
		t.Errorf("%v, %v", plan, err)
	}
	_, err = Stages().Plan(spec("text"), "", nil)
	if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "spec.input_features[0].encoder: encoder tfidf of a text has no form in ONNX") {
		t.Errorf("%v", err)
	}
}
