package pipeline_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

// byNumber splits by an int64 column.
type byNumber struct{}

func (*byNumber) SplitBy() ([]table.Type, string) { return []table.Type{table.Int64}, "a number" }
func (*byNumber) NotOfEvents() string             { return "" }
func (*byNumber) Given() bool                     { return false }
func (*byNumber) Folded() bool                    { return false }

// guessed is a strategy for missing numbers.
type guessed struct{}

func (*guessed) For() string { return "number" }

// lines is a format of scored rows.
type lines struct {
	Width int `yaml:"width,omitempty" json:"width,omitempty" jsonschema:"minimum=1" default:"80"`
}

// queue gets dead letters.
type queue struct {
	pipeline.DeadLetterTopic `yaml:",inline" json:",inline"`
}

// What a spec can name comes from the catalog, nowhere else: an entry more is
// taken, described, rendered with its defaults and offered.
func TestEntriesOfACatalogAreAllThatASpecCanName(t *testing.T) {
	all := catalog.All()
	all[pipeline.Splits] = append(all[pipeline.Splits], pipeline.Entry{Name: "ordinal", Options: new(byNumber)})
	all[pipeline.MissingValues] = append(all[pipeline.MissingValues], pipeline.Entry{Name: "guess", Options: new(guessed)})
	all[pipeline.SinkFormats] = append(all[pipeline.SinkFormats], pipeline.Entry{Name: "lines", Options: new(lines)})
	all[pipeline.DeadLetterTopics] = append(all[pipeline.DeadLetterTopics], pipeline.Entry{Name: "queue", Options: new(queue)})
	text := bothHalves
	for old, new := range map[string]string{
		"  input_features:":                   "  preprocessing: {split: {type: ordinal, column: distance}}\n  input_features:",
		"type: number}":                       "type: number, missing_value_strategy: guess}",
		`flights/"}, format: {type: parquet}`: `flights/"}, format: {type: lines}`,
		"source: events":                      "source: events\n    dead_letter: {queue: {topic: dead}}",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the spec has no %q", old)
		}
		text = strings.Replace(text, old, new, 1)
	}
	s, err := pipeline.Parse(all, "toys.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := pipeline.Render(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"type: ordinal", "missing_value_strategy: guess", "width: 80", "queue:\n        topic: dead"} {
		if !strings.Contains(string(rendered), want) {
			t.Errorf("no %q in\n%s", want, rendered)
		}
	}
	schema, err := pipeline.JSONSchema(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"ordinal"`, `"guess"`, `"lines"`, `"width"`, `"queue"`} {
		if !bytes.Contains(schema, []byte(want)) {
			t.Errorf("no %s in the schema", want)
		}
	}
	if _, err := pipeline.Compile(s, flightColumns); err != nil {
		t.Error(err)
	}
	for _, edit := range [][3]string{
		{"type: ordinal, column: distance", "type: ordinal", "a ordinal split needs a number"},
		{"type: ordinal", "type: ordinla", "did you mean ordinal?"},
		{"type: ordinal", "type: random", "write type: datetime, hash, stratify, fixed or ordinal to split by it"},
		{"strategy: guess", "strategy: gues", "did you mean guess?"},
		{"strategy: guess", "strategy: fill_with_false", "one of fill_with_mean, fill_with_median, fill_with_const, drop_row, own_bin, guess"},
		{"type: lines", "type: lnies", "did you mean lines?"},
		{"type: lines", "type: lines, width: 0", "spec.scoring.sink.format.width: 0 is out of range"},
		{"queue: {topic: dead}", "queue: {topic: dead}, kafka: {topic: x}", "only one of queue and kafka can be there"},
		{"queue:", "quue:", "did you mean queue?"},
	} {
		_, err := pipeline.Parse(all, "toys.yaml", []byte(strings.Replace(text, edit[0], edit[1], 1)))
		if err == nil || !strings.Contains(err.Error(), edit[2]) {
			t.Errorf("%s: error %v", edit[1], err)
		}
	}
}
