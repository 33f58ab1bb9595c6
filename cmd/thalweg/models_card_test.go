package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A card says what a version learned from, how good it is and how to make it again, and
// its curves are drawings that a browser reads.
func TestAVersionHasACard(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := parallelDev(t, embedded.Config{})
	upload(t, c, rowsOf(t, 3000, "x city late", func(i int) []any {
		x := random.NormFloat64()
		return []any{x, []string{"Oslo", "a|b", "Bonn"}[i%3], x+random.NormFloat64() > 1}
	}))
	if text, err := applied(t, c, specOf("carded", `
  input_features: [{name: x, type: number}, {name: city, type: category}]
  output_features: [{name: late, type: binary, threshold: {optimize: f1}}]
  preprocessing: {clean: [{fill: {columns: [city], strategy: fill_with_mode}}, {outliers: {column: x, method: zscore, threshold: 6, action: clip}}]}
  evaluation: {slices: [{columns: [city], min_rows: 10}], gates: [{metric: roc_auc, lower_bound: 0.6}]}
`)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, of := range []string{"runs", "models"} {
		if text := said(t, c, of, "show", "carded"); !strings.Contains(text, "\nCONFUSION\nlabel \\ prediction  false ") {
			t.Errorf("%s show has no confusion matrix:\n%s", of, text)
		}
	}
	dir := t.TempDir()
	text := said(t, c, "models", "card", "carded", "--dir", dir)
	for _, want := range []string{"# carded, version 1\n", "it is champion.", "Objects: 1, manifest sha256", "Rows learned from: ", "## Cleaning", "- 1 fill: `{\"city\":\"", "- 2 outliers: `{\"lower\":-", "| roc_auc | 0.", "Predictions are true from the probability 0.", "## Confusion\n\n| label \\ prediction | false | true | right |\n|---|---|---|---|\n| false | ",
		"| roc_auc at least 0.6 | true | is 0.", "| city=a\\|b | ", "## Warnings", "- model: `", "name: carded"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, name := range []string{"roc", "pr", "calibration", "thresholds"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(string(data)))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) || strings.Contains(string(data), "NaN") {
			t.Errorf("%s: %v\n%s", name, err, data)
		}
	}
	text = said(t, c, "models", "card", "carded", "1", "-o", "json")
	var got struct {
		Provenance struct{ Dataset string }
		Evaluation struct {
			Judged string
			Gates  []struct{ Passed bool }
		}
	}
	if json.Unmarshal([]byte(text), &got) != nil || len(got.Provenance.Dataset) != 64 || got.Evaluation.Judged != "test" || len(got.Evaluation.Gates) != 1 || !got.Evaluation.Gates[0].Passed {
		t.Errorf("%.2000s", text)
	}
}
