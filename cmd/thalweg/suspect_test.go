package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// suspects returns rows whose label y follows x with noise; twin is made of y, and
// same is a constant.
func suspects(t *testing.T) []byte {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64},
		{Name: "twin", Type: arrow.PrimitiveTypes.Float64}, {Name: "same", Type: arrow.PrimitiveTypes.Float64}, {Name: "y", Type: arrow.PrimitiveTypes.Int64},
		{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64)}}, nil))
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		x, y := random.NormFloat64(), int64(0)
		if x+random.NormFloat64() > 0 {
			y = 1
		}
		for i, v := range []float64{x, 14.62*float64(y) + random.Float64(), 14.62} {
			b.Field(i).(*array.Float64Builder).Append(v)
		}
		b.Field(3).(*array.Int64Builder).Append(y)
		list := b.Field(4).(*array.ListBuilder)
		list.Append(true)
		list.ValueBuilder().(*array.Float64Builder).AppendValues([]float64{x, 1, 1}, nil)
		if y == 0 && x < -2 {
			list.ValueBuilder().(*array.Float64Builder).Append(2)
		}
	}
	return parquetOf(t, b)
}

// A run says in its output, in `runs show` and on the version what its owner should
// look at. Labels of one class leave nothing to learn: the run fails.
func TestARunSaysWhatIsSuspicious(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	upload(t, c, suspects(t))
	for _, test := range []struct{ features, label, trainer, want string }{
		{"x same", "y > 0", "", "feature same has one value in all training rows"},
		{"x twin", "y > 0", "", "feature twin alone predicts the label (1 on 2000 rows"},
		// Whatever rows the seed puts into the test split: no constant has less loss than their
		// base rate, and a feature made of the label has hardly any.
		{"same", "y > 0", "", "the model is no better than a constant: test.log_loss is|and that of version 2, which it replaces, was"},
		{"x", "y > 0", "epochs: 1, optimizer: {type: adam}", "training ended after 1 epochs, and the last one was still the best"},
		{"x", "y > 1", "", "the label of all"},
		{"list", "y > 0", "", "training rows have a list of another length than 3, which counts as missing"},
	} {
		spec := specOf("suspect", "  input_features:\n")
		for name := range strings.FieldsSeq(test.features) {
			kind := "number"
			if name == "list" {
				kind = "list, length: 3"
			}
			spec += fmt.Sprintf("    - {name: %s, type: %s}\n", name, kind)
		}
		spec += fmt.Sprintf("  output_features: [{name: label, type: binary, expression: %q}]\n  trainer: {%s}\n", test.label, test.trainer)
		text, err := applied(t, c, spec)
		for want := range strings.SplitSeq(test.want, "|") {
			if !strings.Contains(text+fmt.Sprint(err), want) || (err != nil) != (test.label == "y > 1") {
				t.Errorf("%v\n%s\nwant %q", err, text, want)
			}
		}
	}
	// Probabilities that a weight has moved are not what such a model is for.
	if text, err := applied(t, c, specOf("weighted", `
  input_features: [{name: x, type: number}]
  output_features: [{name: label, type: binary, expression: "y > 0", loss: {type: cross_entropy, positive_class_weight: 1000}}]
`)); err != nil || strings.Contains(text, "no better than a constant") || !strings.Contains(text, "test.log_loss") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, verb := range [][]string{{"runs", "show", "suspect-2-1"}, {"models", "list", "-o", "json"}} {
		if text, err := command(t, c, verb...); err != nil || !strings.Contains(text, "feature twin alone predicts the label") {
			t.Errorf("%v: %v\n%s", verb, err, text)
		}
	}
}

// A column that training reads and that objects lack is named with them by `validate
// --data`, in the output of the run and by `runs show`; one that nothing reads is not.
func TestAColumnThatObjectsLackIsWarnedOf(t *testing.T) {
	c, _ := startDev(t, t.TempDir())
	whole := suspects(t)
	lacking := rowsOf(t, 1234, "x", func(int) []any { return []any{1.0} })
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string][]byte{"gap/a.parquet": lacking, "gap/b.parquet": whole, "gap/c.parquet": lacking, "gap/d.parquet": lacking, "gap/e.parquet": lacking} {
		if _, err := bucket.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	file := t.TempDir() + "/spec.yaml"
	put(t, file, "apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: gap}\nspec:\n"+
		"  sources: {train: {s3: {path: \"s3://lake/gap/*.parquet\"}, format: {type: parquet}}}\n"+
		"  preprocessing: {clean: [{derive: {column: late, expression: y > 0}}]}\n"+
		"  input_features: [{name: x, type: number}, {name: twin, type: number}]\n  output_features: [{name: late, type: binary}]\n")
	wants := []string{"column y, which the label reads, is missing in 4 of 5 objects (gap/a.parquet, gap/c.parquet, gap/d.parquet, …): it is null in their 4,936 rows",
		"column twin, which feature twin reads, is missing in 4 of 5 objects (gap/a.parquet"}
	for _, verb := range [][]string{{"validate", file, "--data", "s3://lake/gap/"}, {"apply", "-f", file, "--wait"}, {"runs", "show", "gap"}} {
		text, err := command(t, c, verb...)
		for _, want := range wants {
			if err != nil || !strings.Contains(text, "warning: "+want) {
				t.Errorf("%v: %v\n%s\nwant %q", verb, err, text, want)
			}
		}
		if strings.Contains(text, "column same") || strings.Contains(text, "column list") {
			t.Errorf("%v warns of what nothing reads:\n%s", verb, text)
		}
	}
}
