package artifact

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// document is a spec whose cleaning, features and label are given.
const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  input_features:
    - {name: distance,    type: number}
    - {name: ratio,       type: number, missing_value_strategy: drop_row, normalization: none}
    - {name: origin,      type: category}
    - {name: hour,        type: category, expression: "hour(date)"}
    - {name: late,        type: category, expression: "distance > 3"}
  output_features:
    - %s
  preprocessing:
    clean:
      - {trim: {columns: [origin]}}
      - {case: {columns: [origin], to: upper}}
      - {filter: {expression: "distance != null", apply_to: [training, scoring]}}
      - {filter: {expression: "delay != null"}}
    split: {type: random, probabilities: [0.7, 0.15, 0.15]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/flight-delays/"}, format: {type: parquet}}
`

// network is document with a model of several layers.
var network = strings.Replace(document, "  output_features:", "  model: {type: mlp, hidden: [9, 20], activation: gelu, dropout: 0.5, normalization: batch}\n  output_features:", 1)

// thinned is network whose predictions are sampled too.
var thinned = strings.Replace(network, "dropout: 0.5,", "dropout: 0.5, uncertainty: {type: mc_dropout, samples: 3},", 1)

const (
	binary = `{name: delayed, type: binary, expression: "delay > 15", threshold: 0.25}`
	number = `{name: delay, type: number}`
)

// factored and nearest are document with a factorization machine and with neighbours; below,
// with neighbours on the hidden layer of a network.
var (
	factored = strings.Replace(document, "  output_features:", "  model: {type: fm, factors: 3}\n  output_features:", 1)
	nearest  = strings.Replace(document, "  output_features:", "  model: {type: knn, neighbours: 3}\n  output_features:", 1)
	below    = strings.Replace(document, "  output_features:", "  model: {type: knn, neighbours: 3, on: hidden, of: {type: mlp, hidden: [9, 4], dropout: 0.5, normalization: batch}}\n  trainer: {warm_start: 1}\n  output_features:", 1)
)

// convolved is a spec of a convolutional network, for images.
const convolved = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: images}
spec:
  sources:
    train:  {s3: {path: "s3://lake/images/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: images}, format: {type: json}}
  input_features:
    - {name: pixels, type: list, shape: [2, 3]}
  output_features:
    - {name: bright, type: binary}
  model: {type: cnn, layers: [{conv: {channels: 2}}, {pool: {size: 2}}, {dense: {size: 3, dropout: 0.2}}]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/images/"}, format: {type: parquet}}
`

var imageColumns = table.Schema{Columns: []table.Column{{Name: "pixels", Type: table.Float64List, Nullable: true}, {Name: "bright", Type: table.Bool}}}

// images are rows of imageColumns.
func images() (rows [][]any) {
	for i := range 20 {
		list := make([]any, 6)
		for k := range list {
			list[k] = float64((i*7+k*k)%11) / 3
		}
		rows = append(rows, []any{list, i%3 == 0})
	}
	return rows
}

var sourceColumns = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp, Nullable: true},
	{Name: "delay", Type: table.Int64, Nullable: true},
	{Name: "distance", Type: table.Int64, Nullable: true},
	{Name: "ratio", Type: table.Float64, Nullable: true},
	{Name: "origin", Type: table.String, Nullable: true},
}}

// trained returns an artifact with made-up parameters, its transform fitted on
// a few rows.
func trained(t testing.TB, label string) *Artifact {
	t.Helper()
	return trainedBy(t, document, label)
}

// trainedBy is trained by another document for the same columns.
func trainedBy(t testing.TB, document, label string) *Artifact {
	t.Helper()
	var rows [][]any
	for i := range int64(50) {
		rows = append(rows, []any{i * 3600e6, i - 10, i % 20, float64(i) / 7, fmt.Sprintf("A%d", i%5)})
	}
	return trainedOn(t, fmt.Sprintf(document, label), sourceColumns, rows)
}

// trainedOn is trained by a document for rows of any columns.
func trainedOn(t testing.TB, document string, columns table.Schema, rows [][]any) *Artifact {
	t.Helper()
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.Compile(spec, columns)
	if err != nil {
		t.Fatal(err)
	}
	train := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	a := fitted(t, plan, train)
	a.Params = make([]float32, a.Model.Size())
	for i := range a.Params {
		a.Params[i] = float32(math.Sin(float64(i*i))) / 3
	}
	if v, ok := model.Find(a.Model, "labels"); ok {
		for i := range v.Of(a.Params) {
			v.Of(a.Params)[i] = float32(i % 2)
		}
	}
	a.Dataset = []byte(`{"objects":[{"key":"flights/a.parquet","size_bytes":9,"etag":"e"}]}`)
	a.Provenance.Dataset, a.Provenance.Epochs = sum(a.Dataset), 3
	a.Provenance.Metrics = map[string]float64{"validation.log_loss": 0.49}
	return a
}

// fitted returns an artifact without parameters, its transform fitted on a batch.
func fitted(t testing.TB, plan *pipeline.Plan, batch arrow.Record) *Artifact {
	t.Helper()
	fitter := feature.NewFitter(plan)
	if err := fitter.Observe(batch, make([]uint8, batch.NumRows())); err != nil {
		t.Fatal(err)
	}
	partial, err := fitter.Partial()
	if err != nil {
		t.Fatal(err)
	}
	transform, err := feature.Finish(plan, [][]byte{partial})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(plan, transform)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func encode(t testing.TB, a *Artifact) map[string][]byte {
	t.Helper()
	parts, err := a.Encode(map[string][]byte{"position.json": []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func check(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestDecodeIsTheInverseOfEncode(t *testing.T) {
	for _, label := range []string{binary, number, category} {
		a := trained(t, label)
		parts := encode(t, a)
		names := []string{PartDataset, PartModel, "position.json", PartProvenance, PartSchema, PartSpec, PartTransform}
		check(t, "parts", slices.Sorted(maps.Keys(parts)), names)
		b, err := Decode(catalog.All(), parts)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "extra", b.Extra, map[string][]byte{"position.json": []byte("{}")})
		again, err := b.Encode(b.Extra)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !bytes.Equal(parts[name], again[name]) {
				t.Errorf("%s: %s changed:\n%s\n%s", label, name, parts[name], again[name])
			}
		}
		if a.ModelSHA256() != sum(parts[PartModel]) || b.ModelSHA256() != a.ModelSHA256() {
			t.Errorf("%s: the model's sha256 is not its part's", label)
		}
		check(t, "provenance", b.Provenance, a.Provenance)
		if b.Provenance.Replicas < 1 || b.Provenance.Rows["train"] != 50 {
			t.Errorf("%s: provenance %+v", label, b.Provenance)
		}
	}
}

func TestDecodeNamesThePartThatIsWrong(t *testing.T) {
	good := encode(t, trained(t, binary))
	other := encode(t, trained(t, number))
	replace := func(part, old, new string) func(map[string][]byte) {
		return func(p map[string][]byte) {
			data := bytes.Replace(p[part], []byte(old), []byte(new), 1)
			if bytes.Equal(data, p[part]) {
				t.Fatalf("%s has no %s:\n%s", part, old, p[part])
			}
			p[part] = data
		}
	}
	for name, tc := range map[string]struct {
		part   string
		damage func(map[string][]byte)
	}{
		"no model":            {PartModel, func(p map[string][]byte) { delete(p, PartModel) }},
		"no schema":           {PartSchema, func(p map[string][]byte) { delete(p, PartSchema) }},
		"model cut short":     {PartModel, func(p map[string][]byte) { p[PartModel] = p[PartModel][:len(p[PartModel])-1] }},
		"another transform's": {PartModel, func(p map[string][]byte) { p[PartModel] = other[PartModel] }},
		"a parameter not a number": {PartModel, func(p map[string][]byte) {
			p[PartModel] = bytes.Clone(p[PartModel])
			copy(p[PartModel][len(p[PartModel])-4:], "\x00\x00\xc0\x7f")
		}},
		"another label's transform":    {PartTransform, func(p map[string][]byte) { p[PartTransform] = other[PartTransform] }},
		"another spec's provenance":    {PartProvenance, func(p map[string][]byte) { p[PartProvenance] = other[PartProvenance] }},
		"provenance of more":           {PartProvenance, replace(PartProvenance, "{", `{"host":"a",`)},
		"another dataset's provenance": {PartDataset, replace(PartDataset, "flights", "flightz")},
		"a column twice":               {PartSchema, replace(PartSchema, `"name":"delay"`, `"name":"date"`)},
		"a column of no type":          {PartSchema, replace(PartSchema, `"type":"int64"`, `"type":"int32"`)},
		"a column that is not there":   {PartSpec, replace(PartSchema, `"name":"distance"`, `"name":"far"`)},
		"a spec of another version":    {PartSpec, replace(PartSpec, "thalweg/v1", "thalweg/v9")},
		"a spec changed a little":      {PartProvenance, replace(PartSpec, "flight-delays", "flight-delayz")},
		"two documents":                {PartProvenance, func(p map[string][]byte) { p[PartProvenance] = append(bytes.Clone(p[PartProvenance]), "{}"...) }},
		"a schema without end":         {PartSchema, func(p map[string][]byte) { p[PartSchema] = bytes.Repeat([]byte(" "), maxDocumentBytes+1) }},
	} {
		parts := maps.Clone(good)
		tc.damage(parts)
		_, err := Decode(catalog.All(), parts)
		if !thalweg.Is(err, thalweg.Corrupt) || !strings.HasPrefix(err.Error(), "decode artifact: "+tc.part+": ") {
			t.Errorf("%s: got %v, want %s named", name, err, tc.part)
		}
	}
}

// The schema of a file is part of an artifact, and nothing else is.
func TestTheSchemaOfEventsIsPartOfTheArtifact(t *testing.T) {
	const good = `{"type":"record","name":"R","fields":[{"name":"distance","type":["null","long"]},{"name":"origin","type":"string"}]}`
	from := strings.Replace(document, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1)
	a := trainedBy(t, from, binary)
	for _, bad := range []string{"", "{", `"string"`, `{"type":"record","name":"R","fields":[{"name":"distance","type":"string"}]}`} {
		a.EventSchema = bad
		if _, err := a.Encode(nil); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), PartEvents) {
			t.Errorf("%q: %v", bad, err)
		}
		if err := CheckEvents(a.Plan(), bad); !thalweg.Is(err, thalweg.Invalid) && bad != "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	a.EventSchema = good
	parts := encode(t, a)
	b, err := Decode(catalog.All(), parts)
	if err != nil || b.EventSchema != good || b.Extra[PartEvents] != nil {
		t.Fatalf("%q %v", b.EventSchema, err)
	}
	delete(parts, PartEvents)
	if _, err := Decode(catalog.All(), parts); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), PartEvents) {
		t.Errorf("without its schema: %v", err)
	}
	plain := trained(t, binary)
	plain.EventSchema = good
	if _, err := plain.Encode(nil); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a schema that the spec does not name: %v", err)
	}
	registry := trainedBy(t, strings.Replace(document, "{type: json}", `{type: avro, schema_registry: schemas}`, 1), binary)
	if _, err := registry.NewDecoder(event.Config{}); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "schema registry schemas") {
		t.Errorf("without a registry: %v", err)
	}
}

func TestEncodeRefusesWhatCannotBeServed(t *testing.T) {
	a := trained(t, binary)
	a.Params[3] = float32(math.Inf(1))
	if _, err := a.Encode(nil); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "is +Inf") {
		t.Errorf("an infinite parameter: got %v", err)
	}
	a.Params = a.Params[:3]
	if _, err := a.Encode(nil); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("too few parameters: got %v", err)
	}
	if _, err := trained(t, binary).Encode(map[string][]byte{PartSpec: nil}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("an extra part of a taken name: got %v", err)
	}
	a = trained(t, binary)
	a.Provenance.Metrics["validation.roc_auc"] = math.NaN()
	if _, err := a.Encode(nil); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), PartProvenance) {
		t.Errorf("a metric that is not a number: got %v", err)
	}
}

// FuzzDecode replaces one part of an artifact.
func FuzzDecode(f *testing.F) {
	names := []string{PartModel, PartTransform, PartSchema, PartProvenance}
	var good []map[string][]byte // by kind of model
	var rows []arrow.Record      // to score with it
	add := func(a *Artifact, rec arrow.Record) {
		parts := encode(f, a)
		for i, name := range names {
			f.Add(uint8(len(good)*len(names)+i), parts[name])
		}
		good, rows = append(good, parts), append(rows, rec)
	}
	for _, document := range []string{document, network, factored, nearest, below} {
		add(trainedBy(f, document, binary), tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, []any{int64(0), nil, int64(4), 0.5, " a1"}))
	}
	add(trainedOn(f, convolved, imageColumns, images()), tabletest.Batch(memory.DefaultAllocator, imageColumns, 0, images()[:2]...))
	f.Fuzz(func(t *testing.T, part uint8, data []byte) {
		kind := int(part) / len(names) % len(good)
		parts := maps.Clone(good[kind])
		parts[names[int(part)%len(names)]] = data
		a, err := Decode(catalog.All(), parts)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) {
				t.Fatalf("%v is not Corrupt", err)
			}
			return
		}
		if _, err := a.Encode(nil); err != nil {
			t.Fatalf("what Decode took, Encode refuses: %v", err)
		}
		score(t, a, pipeline.InScoring, rows[kind])
	})
}

// score returns what a new scorer makes of a batch, as rows of the output.
func score(t testing.TB, a *Artifact, phase pipeline.Phase, batches ...arrow.Record) ([][]any, *pipeline.Report) {
	t.Helper()
	s, err := a.NewScorer(phase)
	if err != nil {
		t.Fatal(err)
	}
	rep, rows := &pipeline.Report{KeepRemoved: true}, [][]any{}
	for _, b := range batches {
		cleaned, predictions, err := s.Score(t.Context(), b, rep)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Output(cleaned, predictions, Origin{Topic: "flights", Partition: 3, Version: 2, Generation: 4, ScoredAt: 5})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, tabletest.Rows(out)...)
		out.Release()
		cleaned.Release()
	}
	return rows, rep
}
