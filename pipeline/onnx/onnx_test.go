package onnx_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/pipeline/onnx/onnxtest"
)

// What the bytes compute is held to scoring by onnxruntime, in package integration.
func TestEqualArtifactsGiveEqualBytes(t *testing.T) {
	for i, c := range onnxtest.Cases(t) {
		m, err := onnx.Export(c.Artifact)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if i%5 > 0 {
			continue
		}
		again, err := onnx.Export(c.Artifact)
		if err != nil || !bytes.Equal(m.Bytes, again.Bytes) || m.SHA256() != again.SHA256() {
			t.Errorf("%s: other bytes, %v", c.Name, err)
		}
	}
}

// refused are the choices of a spec that have no form in ONNX: those of texts, which it
// cannot cut into words, and a model that is its rows.
var refused = []string{"tfidf", "hashing", "bag", "multihot", "knn"}

func TestWhatSpecsChooseIsExportedOrRefused(t *testing.T) {
	encoders, models := onnx.Encoders(), onnx.Models()
	for _, e := range feature.Encoders() {
		if _, ok := encoders[e.Name]; ok == slices.Contains(refused, e.Name) {
			t.Errorf("encoder %s: give it a line in onnx.Encoders, or name it as refused here", e.Name)
		}
	}
	for _, e := range model.Catalog() {
		if _, ok := models[e.Name]; ok == slices.Contains(refused, e.Name) {
			t.Errorf("model %s: give it a line in onnx.Models, or name it as refused here", e.Name)
		}
	}
	written := onnxtest.Documents()
	for _, e := range slices.Concat(feature.Normalizations(), model.Losses()) {
		if !strings.Contains(written, e.Name) && !slices.Contains(defaults, e.Name) {
			t.Errorf("%s is in no case of the matrix", e.Name)
		}
	}
}

// defaults are the losses that outputs have if nothing is said, and one that predicts as they
// do.
var defaults = []string{"cross_entropy", "squared", "poisson", "focal"}

func TestATextIsRefusedByName(t *testing.T) {
	a := onnxtest.Artifact(t, "- {name: s, type: text}", "binary", "{type: linear}")
	if _, err := onnx.Export(a); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "feature s: encoder tfidf of a text has no form in ONNX") {
		t.Errorf("%v", err)
	}
}

func TestANameOfAnOutputIsRefusedBeforeTraining(t *testing.T) {
	for feature, taken := range map[string]bool{"probability": true, "raw_score": true, "axis": false, "quantiles": false} {
		spec := onnxtest.Artifact(t, "- {name: f, type: number}", "binary", "{type: linear}").Spec
		spec.Spec.InputFeatures[0].Name = feature
		if err := onnx.Check(spec); taken != thalweg.Is(err, thalweg.Unsupported) {
			t.Errorf("%s: %v", feature, err)
		}
	}
}

func TestInputsAreTheColumnsThatFeaturesRead(t *testing.T) {
	a := onnxtest.Artifact(t, `- {name: s, type: category}
    - {name: again, type: category, expression: "s"}
    - {name: weekday, type: category, expression: "weekday(date)"}
    - {name: upper, type: category, expression: "upper(s)"}
    - {name: l, type: list}
    - {name: f, type: number}`, "binary", "{type: linear}")
	m, err := onnx.Export(a)
	if err != nil {
		t.Fatal(err)
	}
	want := []onnx.Input{{Name: "s", Type: "string", Width: 1}, {Name: "date", Type: "timestamp", Width: 1},
		{Name: "upper(s)", Type: "string", Width: 1, Expression: true},
		{Name: "l", Type: "list<float64>", Width: 3}, {Name: "f", Type: "float64", Width: 1}}
	if !slices.Equal(m.Inputs, want) {
		t.Errorf("%+v", m.Inputs)
	}
	if want := []string{"raw_score", "prediction", "probability"}; !slices.Equal(m.Outputs, want) {
		t.Errorf("%q", m.Outputs)
	}
}

func TestASampleHasNullsAsTheyAreGiven(t *testing.T) {
	a := onnxtest.Artifact(t, "- {name: s, type: category}\n    - {name: i, type: number}\n    - {name: l, type: list}", "number", "{type: linear}")
	m, err := onnx.Export(a)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := a.NewScorer(pipeline.InTraining)
	if err != nil {
		t.Fatal(err)
	}
	rows := onnxtest.Rows()
	defer rows.Release()
	one := rows.NewSlice(0, 1)
	defer one.Release()
	s, err := m.Sample(a, scorer, one)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]onnx.SampleInput{"s": {Type: "string", Width: 1, Texts: []string{"<MISSING>"}},
		"i": {Type: "int64", Width: 1, Bytes: []byte{7: 0x80}}} {
		if have := s.Inputs[name]; have.Type != want.Type || have.Width != want.Width || !bytes.Equal(have.Bytes, want.Bytes) || !slices.Equal(have.Texts, want.Texts) {
			t.Errorf("%s: %+v", name, have)
		}
	}
}
