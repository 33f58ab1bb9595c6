package worker

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// tagged is an encoder that this file adds: that of numbers with an option.
type tagged struct {
	feature.Scaled
	Label string `yaml:"label,omitempty" json:"label,omitempty" jsonschema:"minLength=1"`
}

func (e *tagged) Defaults(at pipeline.Place) { pipeline.Default(at, "label", &e.Label, "plain") }

// lines is a format of events that this file adds: name=value, spaces between.
type lines struct {
	Note string `yaml:"note,omitempty" json:"note,omitempty"`
}

func (f *lines) Defaults(at pipeline.Place) { pipeline.Default(at, "note", &f.Note, "none") }
func (f *lines) Check(at pipeline.Place) {
	if f.Note == "bad" {
		at.Problem("note", "", "it is bad")
	}
}
func (*lines) FieldNames() []string                      { return nil }
func (*lines) Schema() (file, registry string)           { return "", "" }
func (*lines) TimeFormats() []string                     { return nil }
func (*lines) Open(c *event.Cells) (event.Reader, error) { return &lineReader{c}, nil }

type lineReader struct{ *event.Cells }

func (r *lineReader) Read(b []byte) bool {
	for i, field := range strings.Fields(string(b)) {
		name, value, _ := strings.Cut(field, "=")
		at, known := r.Column(name)
		if !known {
			return r.Refuse("no column "+name, "unknown field")
		}
		r.Set(at, []byte(value), i+1)
	}
	return true
}

// thirds is a way of splitting that this file adds: by the number of the row.
type thirds struct{}

func (*thirds) SplitBy() (types []table.Type, what string)        { return nil, "" }
func (*thirds) NotOfEvents() string                               { return "the number of the row" }
func (*thirds) Given() bool                                       { return false }
func (*thirds) Folded() bool                                      { return false }
func (*thirds) Observer(*split.Cuts, split.Origin) split.Observer { return &thirds{} }
func (*thirds) Observe(arrow.Record) error                        { return nil }
func (*thirds) Partial() ([]byte, error)                          { return []byte("{}"), nil }
func (*thirds) Finish(c *split.Cuts, partials [][]byte) error {
	c.Column = string(partials[0])
	return nil
}
func (*thirds) Assign(c *split.Cuts, batch arrow.Record, _ split.Origin, dst []uint8) error {
	for i, row := range table.Rows(batch) {
		dst[i] = uint8(row % 3)
	}
	return nil
}

const toySpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: toys}
spec:
  sources:
    train: {s3: {path: "s3://thalweg/data/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: toys}, format: {type: lines}}
  input_features: [{name: x, type: number, normalization: halved, encoder: {type: tagged}}]
  output_features: [{name: y, type: binary}]
  preprocessing: {split: {type: thirds}}
  trainer: {validation_metric: error_rate}
`

// Encoders, normalisations, ways of splitting, metrics and formats of events of a test do what those
// of the build do, from the text of a spec to rows of shards and of the stream.
func TestToysOfATestWorkLikeEntriesOfTheBuild(t *testing.T) {
	all := catalog.All()
	all[pipeline.Encoders] = append(all[pipeline.Encoders], pipeline.Entry{Name: "tagged", Options: new(tagged)})
	all[pipeline.Normalizations] = append(all[pipeline.Normalizations], pipeline.Entry{Name: "halved",
		Options: &feature.Normalization{Fit: func(feature.Moments) (shift, scale float64) { return 0, 0.5 }}})
	all[pipeline.EventFormats] = append(all[pipeline.EventFormats], pipeline.Entry{Name: "lines", Options: new(lines)})
	all[pipeline.Splits] = append(all[pipeline.Splits], pipeline.Entry{Name: "thirds", Options: new(thirds)})
	accuracy := all[pipeline.Metrics][2].Options.(*metric.Measure)
	all[pipeline.Metrics] = append(all[pipeline.Metrics], pipeline.Entry{Name: "error_rate", Options: &metric.Measure{Output: "binary",
		Value: func(sums metric.Accumulator) (float64, bool) { v, ok := accuracy.Value(sums); return 1 - v, ok }}})

	for edit, want := range map[[2]string]string{
		{"halved", "halfed"}:                          "did you mean halved?",
		{"{type: tagged}", "{type: taged}"}:           "did you mean tagged?",
		{"{type: tagged}", "{type: tagged, labl: x}"}: "did you mean label?",
		{"{type: tagged}", "{type: none, label: x}"}:  "the field belongs to tagged",
		{"thirds", "third"}:                           "did you mean thirds?",
		{"error_rate", "error_rat"}:                   "did you mean error_rate?",
		{"{type: lines}", "{type: line}"}:             "did you mean lines?",
		{"{type: lines}", "{type: lines, note: bad}"}: "it is bad",
		{"{type: lines}", "{type: json, note: x}"}:    "the field belongs to lines events",
	} {
		if _, err := pipeline.Parse(all, "toys.yaml", []byte(strings.Replace(toySpec, edit[0], edit[1], 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", edit[1], err, want)
		}
	}
	schema, err := pipeline.JSONSchema(all)
	for _, name := range []string{"tagged", "halved", "error_rate", "lines", "note", "label"} {
		if !bytes.Contains(schema, []byte(`"`+name+`"`)) {
			t.Errorf("the JSON schema does not know %s: %v", name, err)
		}
	}

	_, rows := prepare(t, Config{SpecCatalog: all}, lake(t), toySpec)
	rendered, err := pipeline.Render(rows.plan.Spec)
	if err != nil || !bytes.Contains(rendered, []byte("label: plain")) || !bytes.Contains(rendered, []byte("note: none")) {
		t.Errorf("rendered %v:\n%s", err, rendered)
	}
	if rows.cuts.Column != "{}" {
		t.Errorf("cuts %+v are not those of the toy", rows.cuts)
	}
	for batch, err := range rows.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range batch.Row {
			if batch.Split[i] != uint8(row%3) {
				t.Errorf("row %d is in split %d", row, batch.Split[i])
			}
		}
	}
	a, err := artifact.New(rows.plan, rows.transform)
	if err != nil {
		t.Fatal(err)
	}
	a.Params = slices.Repeat([]float32{0.5}, a.Model.Size())
	parts, err := a.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = artifact.Decode(all, parts); err != nil {
		t.Fatal(err)
	}
	decoder, err := a.NewDecoder(event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	line := "key=1 x=3 y=true"
	stream, rejects, err := decoder.Decode(t.Context(), event.Events{Values: []byte(line + "z=1"), Ends: []int{len(line), len(line) + 3}, Offsets: []int64{0, 1}})
	if err != nil || len(rejects) != 1 || stream.NumRows() != 1 {
		t.Fatalf("decoded %v, rejected %v: %v", stream, rejects, err)
	}
	defer stream.Release()
	var scored [2][]float32
	for i, phase := range []pipeline.Phase{pipeline.InScoring, pipeline.InTraining} {
		s, err := a.NewScorer(phase)
		if err != nil {
			t.Fatal(err)
		}
		_, predictions, err := s.Score(t.Context(), stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		scored[i] = slices.Clone(predictions)
	}
	// 1/(1+exp(-(3*0.5*0.5+0.5)))
	if diff := cmp.Diff(scored[0], scored[1]); diff != "" || len(scored[0]) != 1 || scored[0][0] < 0.7772 || scored[0][0] > 0.7774 {
		t.Errorf("scored %v", scored)
	}
	sums, err := metric.New(a.Spec.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	sums.Observe([]float32{0.9, 0.9, 0.1, 0.1}, []float32{1, 0, 0, 0})
	if v := sums.Values()["error_rate"]; v != 0.25 {
		t.Errorf("error_rate %v", v)
	}
}
