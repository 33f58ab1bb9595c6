package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/models"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
)

// importSample returns a model of LightGBM, and rows as Parquet with the sums that it
// has for them, each plus some.
func importSample(t *testing.T, more float64) (model string, sample []byte) {
	t.Helper()
	const name = "lightgbm-binary.txt"
	columns, raw := importedtest.Sample(t, name)
	for _, v := range raw {
		columns["raw"] = append(columns["raw"], v+more)
	}
	var fields []arrow.Field
	for _, c := range []string{"signed", "few", "large", "tiny", "raw"} {
		fields = append(fields, arrow.Field{Name: c, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	}
	for _, c := range []string{"letter", "month"} {
		fields = append(fields, arrow.Field{Name: c, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for i, f := range fields {
		for _, v := range columns[f.Name] {
			switch v := v.(type) {
			case nil:
				b.Field(i).AppendNull()
			case string:
				b.Field(i).(*array.StringBuilder).Append(v)
			case float64:
				b.Field(i).(*array.Float64Builder).Append(v)
			}
		}
	}
	return string(importedtest.Model(t, name)), parquetOf(t, b)
}

// A model of LightGBM is taken if it scores the sample as its library did, and then is
// a version as any other: evaluated, registered, shown.
func TestAnImportedModelIsAVersionOnceItScoresTheSample(t *testing.T) {
	model, sample := importSample(t, 0)
	_, other := importSample(t, 1e-6)
	dir := t.TempDir()
	put(t, dir+"/model.txt", model)
	put(t, dir+"/cut.txt", model[:len(model)/2])
	put(t, dir+"/sample.parquet", string(sample))
	put(t, dir+"/other.parquet", string(other))
	c := parallelDev(t, embedded.Config{})
	for _, bad := range []struct{ model, sample, want string }{
		{"model.txt", "other.parquet", "60 of 60 rows score otherwise"},
		{"cut.txt", "sample.parquet", "cut.txt"},
		{"sample.parquet", "sample.parquet", "neither LightGBM's text"},
	} {
		if text, err := command(t, c, "models", "import", dir+"/"+bad.model, "--expect", dir+"/"+bad.sample); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s by %s: %v\n%s", bad.model, bad.sample, err, text)
		}
	}
	text, err := command(t, c, "models", "import", dir+"/model.txt", "--expect", dir+"/sample.parquet", "--name", "given", "-o", "json")
	var got models.Imported
	if err != nil || json.Unmarshal([]byte(text), &got) != nil || got.Rows != 60 || got.Trees != 6 || got.Worst > models.LightGBMTolerance {
		t.Fatalf("%v\n%s", err, text)
	}
	upload(t, c, sample)
	spec := specOf("taken-over", `
  input_features: [{columns: [signed, few, large, tiny], type: number}, {columns: [letter, month], type: category}]
  output_features: [{name: above, type: binary, expression: "raw > 0"}]
  model: {type: trees, from: FROM}
`)
	if text, err := applied(t, c, strings.Replace(spec, "FROM", "given@0123456789abcdef", 1)); err == nil || !strings.Contains(err.Error()+text, "thalweg models import") {
		t.Errorf("a model that was not imported: %v\n%s", err, text)
	}
	if text, err := applied(t, c, strings.Replace(spec, "FROM", got.From, 1)); err != nil || !strings.Contains(strings.Join(strings.Fields(text), " "), "test.roc_auc 1 1 to 1") {
		t.Errorf("%v\n%s", err, text)
	}
}
