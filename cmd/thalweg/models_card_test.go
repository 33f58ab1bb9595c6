package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// A card says what a version learned from, how good it is and how to make it again, and
// its curves are drawings that a browser reads.
func TestAVersionHasACard(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64},
		{Name: "city", Type: arrow.BinaryTypes.String}, {Name: "late", Type: arrow.FixedWidthTypes.Boolean}}, nil))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		x := random.NormFloat64()
		b.Field(0).(*array.Float64Builder).Append(x)
		b.Field(1).(*array.StringBuilder).Append([]string{"Oslo", "a|b", "Bonn"}[i%3])
		b.Field(2).(*array.BooleanBuilder).Append(x+random.NormFloat64() > 1)
	}
	c := parallelDev(t, devConfig{})
	upload(t, c, parquetOf(t, b))
	dir := t.TempDir()
	put(t, dir+"/spec.yaml", `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: carded}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: x, type: number}, {name: city, type: category}]
  output_features: [{name: late, type: binary, threshold: {optimize: f1}}]
  evaluation: {slices: [{columns: [city], min_rows: 10}], gates: [{metric: roc_auc, lower_bound: 0.6}]}
`)
	if text, err := command(t, c, "apply", "-f", dir+"/spec.yaml", "--wait"); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := command(t, c, "models", "card", "carded", "--dir", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"# carded, version 1\n", "it is champion.", "1 objects, manifest sha256", "Rows learned from: ", "| roc_auc | 0.", "Predictions are true from the probability 0.",
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
	text, err = command(t, c, "models", "card", "carded", "1", "-o", "json")
	var got struct {
		Provenance struct{ Dataset string }
		Evaluation struct {
			Judged string
			Gates  []struct{ Passed bool }
		}
	}
	if err != nil || json.Unmarshal([]byte(text), &got) != nil || len(got.Provenance.Dataset) != 64 || got.Evaluation.Judged != "test" || len(got.Evaluation.Gates) != 1 || !got.Evaluation.Gates[0].Passed {
		t.Errorf("%v: %s", err, fmt.Sprintf("%.2000s", text))
	}
}
