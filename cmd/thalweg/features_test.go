package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// digits returns images of the given number of pixels, of which a few tell the
// label.
func digits(t *testing.T, pixels int) []byte {
	t.Helper()
	fields := []arrow.Field{{Name: "label", Type: arrow.PrimitiveTypes.Int64}}
	for i := range pixels {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("pixel_%d", i), Type: arrow.PrimitiveTypes.Int64})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	random := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		ink := int64(0)
		for i := range pixels {
			v := random.Int64N(256)
			if i%100 == 7 {
				ink += v
			}
			b.Field(i + 1).(*array.Int64Builder).Append(v)
		}
		b.Field(0).(*array.Int64Builder).Append(ink / 256)
	}
	return parquetOf(t, b)
}

const digitsSpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: digits}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{columns: "*", type: number, normalization: minmax}]
  output_features: [{name: many, type: binary, expression: "label > 3"}]
`

// A line of the spec makes 784 columns features. What it matched is said by validate
// and by the run; a run on data with more columns has more features.
func TestManyColumnsAreOneLineOfTheSpec(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/digits.parquet", string(digits(t, 784)))
	put(t, dir+"/digits.yaml", digitsSpec)
	c, _ := startDev(t, t.TempDir())
	text, err := command(t, c, "validate", dir+"/digits.yaml", "--data", dir+"/digits.parquet")
	want := `features "*": 784 of type number, from "pixel_0" to "pixel_783"; 1 that match are features of their own or the label's`
	if err != nil || !strings.Contains(text, want) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 784))
	if text, err := command(t, c, "apply", "-f", dir+"/digits.yaml", "--wait"); err != nil || !strings.Contains(text, strings.TrimPrefix(want, "features ")) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 800))
	text, err = command(t, c, "runs", "start", "digits", "--wait")
	if err != nil || !strings.Contains(text, `"*": 800 of type number, from "pixel_0" to "pixel_799"`) || !strings.Contains(text, "features         800") {
		t.Errorf("%v\n%s", err, text)
	}
}

// A run has the losses of its epochs as numbers, in the unit of its validation metric,
// and a version its strongest weights; both are in the RPC's answer about the run.
func TestARunHasItsLossesAndAVersionItsWeights(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "weak", Type: arrow.PrimitiveTypes.Float64},
		{Name: "strong", Type: arrow.PrimitiveTypes.Float64}, {Name: "y", Type: arrow.PrimitiveTypes.Float64}, {Name: "city", Type: arrow.BinaryTypes.String}}, nil))
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		weak, strong := random.NormFloat64(), 1e-6*random.NormFloat64()
		y := 10*weak - 300e6*strong + 50*random.NormFloat64()
		if i%3 == 0 {
			y += 90
		}
		for k, v := range []float64{weak, strong, y} {
			b.Field(k).(*array.Float64Builder).Append(v)
		}
		b.Field(3).(*array.StringBuilder).Append([]string{"Oslo", "Riga", "Bonn"}[i%3])
	}
	c, _ := startDev(t, t.TempDir())
	upload(t, c, parquetOf(t, b))
	dir := t.TempDir()
	put(t, dir+"/spec.yaml", `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: sums}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{columns: [weak, strong], type: number}, {name: city, type: category}]
  output_features: [{name: y, type: number}]
`)
	text, err := command(t, c, "apply", "-f", dir+"/spec.yaml", "--wait")
	if err != nil || !strings.Contains(text, "LOSS OF VALIDATION  ") || !strings.Contains(text, "EPOCH  TRAIN LOSS") {
		t.Fatalf("%v\n%s", err, text)
	}
	res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "sums-1-1"})
	if err != nil {
		t.Fatal(err)
	}
	run := res.Run
	last := run.Curve[len(run.Curve)-1]
	if uint32(run.Metrics["train.best_epoch"]) != last.Epoch || last.GetValidation() != run.Metrics["validation.mse"] ||
		last.Train < 2200 || last.Train > 2800 || run.Curve[0].Train < last.Train || run.Outputs["curve"] != "" || run.Outputs["weights"] != "" {
		t.Errorf("curve %v, metrics %v, outputs %v", run.Curve, run.Metrics, run.Outputs)
	}
	var got []string
	for _, w := range run.Weights {
		got = append(got, fmt.Sprintf("%s %s %.0f", w.Feature, w.Value, w.Effect/10))
	}
	if want := "strong  -30, city Oslo 6, city "; !strings.HasPrefix(strings.Join(got, ", "), want) || len(got) != 5 || !strings.HasPrefix(got[4], "weak  1") {
		t.Errorf("weights %q, want %q", got, want)
	}
	for _, args := range [][]string{{"sums"}, {"sums", "champion"}, {"sums", "1"}, {"sums", "1", "-o", "json"}} {
		text, err := command(t, c, append([]string{"models", "show"}, args...)...)
		if err != nil || !strings.Contains(text, "strong") || !strings.Contains(text, "Oslo") || !strings.Contains(text, "validation.mse") {
			t.Errorf("%v: %v\n%s", args, err, text)
		}
	}
	if _, err := command(t, c, "models", "show", "sums", "champio"); err == nil || !strings.Contains(err.Error(), "did you mean champion?") {
		t.Errorf("error %v", err)
	}
}
