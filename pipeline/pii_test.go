package pipeline_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

// privateSpec is a spec whose columns and features are given.
func privateSpec(schema, more string) []byte {
	return fmt.Appendf(nil, `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: p}
spec:
  sources:
    train: {s3: {path: "s3://lake/p/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: p}, format: {type: csv}}
  schema: {%s}
%s
  output_features: [{name: y, type: number}]
  model: {type: linear}
  registry: {model: p}
  scoring: {source: events, sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}}
`, schema, more)
}

const features = "  input_features: [{name: x, type: number}]\n"

var privateData = table.Schema{Columns: []table.Column{
	{Name: "y", Type: table.Float64, Nullable: true}, {Name: "name", Type: table.String, Nullable: true}, {Name: "id", Type: table.Int64, Nullable: true},
	{Name: "x", Type: table.Float64, Nullable: true}, {Name: "mail", Type: table.String, Nullable: true},
	{Name: "list", Type: table.Int64List, Nullable: true},
}}

const y, x = "{name: y, type: float64, available_in: [training]}", "{name: x, type: float64}"

func TestColumnsWithPIIAreCheckedByName(t *testing.T) {
	for _, c := range []struct{ schema, more, want string }{
		{"columns: [" + y + ", " + x + ", {name: id, type: int64, pii: mask}]", features, "spec.schema.columns[2].pii: a int64 has no shape to keep"},
		{"pii_key: k, columns: [" + y + ", {name: x, type: float64, pii: hash}]", "  input_features: [{name: x, type: category}]\n", "spec.schema.columns[1].pii: a float64 is not hashed"},
		{"pii_key: k, columns: [" + y + ", " + x + ", {name: list, type: list<int64>, pii: hash}]", features, "spec.schema.columns[2].pii: a list<int64> is not hashed"},
		{"columns: [" + y + ", " + x + ", {name: name, type: string, pii: drop}]", "  input_features: [{name: name, type: category}]\n", "column name is not there: it has pii: drop"},
		{"columns: [" + y + ", " + x + ", {name: name, type: string, pii: drop}]", "  input_features: [{name: n, type: category, expression: \"name + 'a'\"}]\n", "column name is not there: it has pii: drop"},
		{"columns: [" + y + ", " + x + ", {name: name, type: string, pii: drop}]", features + "  preprocessing: {clean: [{trim: {columns: [name]}}]}\n", "column name is not there: it has pii: drop"},
		{"pii_key: k, columns: [" + y + ", " + x + ", {name: id, type: int64, pii: hash}]", "  input_features: [{name: id, type: number}]\n", "a number cannot be made of values of type string"},
	} {
		_, err := pipeline.ParseAndCompile(catalog.All(), "p.yaml", privateSpec(c.schema, c.more), privateData)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.schema, err)
		}
	}
}

func TestDroppedColumnsAreKnownToDecodersInTheirPlaceAndToNobodyElse(t *testing.T) {
	text := privateSpec("pii_key: k, columns: ["+y+", {name: name, type: string, pii: drop}, {name: id, type: int64, pii: hash}, "+x+", {name: mail, type: string, pii: drop}]",
		"  input_features: [{name: x, type: number}, {name: id, type: category}]\n")
	plan, err := pipeline.ParseAndCompile(catalog.All(), "p.yaml", text, privateData)
	if err != nil {
		t.Fatal(err)
	}
	names := func(s table.Schema) (out string) {
		for _, c := range s.Columns {
			out += c.Name + ":" + string(c.Type) + ":" + c.PII + " "
		}
		return out
	}
	if got := names(plan.Input); got != "y:float64: id:string:hash x:float64: " {
		t.Error(got)
	}
	if got := names(plan.ScoringInput); got != "id:string:hash x:float64: " {
		t.Error(got)
	}
	if got := names(plan.EventColumns()); got != "name:string:drop id:string:hash x:float64: mail:string:drop " {
		t.Error(got)
	}
	// Whoever reads data by such a spec, without a plan, sees no more.
	if got := names(plan.Spec.Spec.Schema.Protected(privateData)); got != "y:float64: id:string:hash x:float64: " {
		t.Error(got)
	}
	// A version keeps the columns as they are read, and is compiled from them again.
	again, err := pipeline.Compile(plan.Spec, plan.Input)
	if err != nil || names(again.EventColumns()) != names(plan.EventColumns()) {
		t.Error(err)
	}
}

func TestAnotherKeyTrainsAnew(t *testing.T) {
	of := func(key string) *pipeline.Spec {
		return parse(t, "p.yaml", privateSpec("pii_key: "+key+", columns: ["+y+", "+x+", {name: name, type: string, pii: hash}]", features))
	}
	changes, err := pipeline.Changes(of("a"), of("b"))
	if err != nil || len(changes) != 1 || changes[0].Path != "spec.schema.pii_key" || !changes[0].Trains {
		t.Errorf("%v: %+v", err, changes)
	}
	if pipeline.CleaningHash(of("a")) == pipeline.CleaningHash(of("b")) {
		t.Error("rows that are kept for one key are taken for another")
	}
	known := pipeline.Connections{{Kind: pipeline.StoreConnection, Name: "default"}, {Kind: "kafka", Name: "default"}, {Kind: pipeline.KeyConnection, Name: "key-1"}}
	if err := of("key-2").CheckPlaces(nil, known); err == nil || !strings.Contains(err.Error(), "no worker has a key connection key-2") {
		t.Error(err)
	}
	if err := of("key-1").CheckPlaces(nil, known); err != nil {
		t.Error(err)
	}
	if without := parse(t, "p.yaml", privateSpec("columns: ["+y+", "+x+", {name: name, type: string, pii: hash}]", features)); without.Spec.Schema.PIIKey != "pii" {
		t.Errorf("the key is %q", without.Spec.Schema.PIIKey)
	}
}

// A run of hours must not be the first to say that nobody has its key.
func TestTheKeyOfPrivateTrainingIsOneThatWorkersHave(t *testing.T) {
	const features = "  input_features: [{name: x, type: number, normalization: none, missing_value_strategy: fill_with_const}]\n  trainer: {privacy: {key: noise-kee, delta: 1.0e-5}}\n"
	spec := parse(t, "p.yaml", bytes.Replace(privateSpec("columns: ["+y+", "+x+"]", features), []byte("{name: y, type: number}"), []byte("{name: y, type: binary}"), 1))
	known := pipeline.Connections{{Kind: pipeline.StoreConnection, Name: "default"}, {Kind: "kafka", Name: "default"}}
	for key, want := range map[string]string{
		"noise-key": "p.yaml:", "pii": "known are pii", "noise-kee": "",
	} {
		err := spec.CheckPlaces(nil, append(known, pipeline.Connection{Kind: pipeline.KeyConnection, Name: key}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "no worker has a key connection noise-kee") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", key, err)
		}
		if key == "noise-key" && !strings.Contains(err.Error(), `did you mean noise-key?`) {
			t.Errorf("no word of the nearest name: %v", err)
		}
	}
}
