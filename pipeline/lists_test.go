package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

// vectorColumns are flights with lists.
func vectorColumns() table.Schema {
	s := flightColumns
	s.Columns = append(slices.Clone(s.Columns), table.Column{Name: "legs", Type: table.Float64List, Nullable: true}, table.Column{Name: "flags", Type: table.BoolList})
	s.Unsupported = append(slices.Clone(s.Unsupported), table.UnsupportedColumn{Name: "tags", Type: "list<string>"}, table.UnsupportedColumn{Name: "deep", Type: "list<list<int64>>"})
	return s
}

const someFeatures = "  input_features:\n"

func TestAFeatureOfListsInheritsFromNumbers(t *testing.T) {
	s := edited(t, someFeatures, "  defaults: {number: {normalization: minmax, missing_value_strategy: fill_with_const, fill_value: 2}}\n"+someFeatures+
		"    - {name: legs, type: list, length: 3}\n    - {name: flags, type: list, normalization: none, missing_value_strategy: fill_with_mean}\n")
	p := compile(t, s, vectorColumns())
	legs, flags := p.Features[0], p.Features[1]
	if o := legs.Options; legs.Type != "list" || o.Encoder.Name != "elements" || o.Normalization != "minmax" || o.MissingValueStrategy != "fill_with_const" || fmt.Sprint(o.FillValue) != "2" || *o.Length != 3 {
		t.Errorf("%+v", legs)
	}
	if o := flags.Options; o.Normalization != "none" || o.MissingValueStrategy != "fill_with_mean" || o.FillValue != nil || o.Length != nil {
		t.Errorf("%+v", flags)
	}
	// What is rendered says the same.
	text, err := pipeline.Render(s)
	if err != nil {
		t.Fatal(err)
	}
	if again := compile(t, parse(t, "rendered.yaml", text), vectorColumns()); again.Features[0].Options.Encoder.Name != "elements" || *again.Features[0].Options.Length != 3 {
		t.Errorf("%+v", again.Features[0])
	}
}

func TestSpecsOfListsSayWhatIsWrong(t *testing.T) {
	feature := func(f string) []string { return []string{someFeatures, someFeatures + "    - " + f + "\n"} }
	for want, edits := range map[string][]string{
		"input_features[0].type: a number cannot be made of values of type list<float64> (write type: list)":                                     feature("{name: legs, type: number}"),
		"input_features[0].type: a category cannot be made of values of type list<bool> (write type: list)":                                      feature("{name: flags, type: category}"),
		"input_features[0].type: a list cannot be made of values of type timestamp (take a part of it":                                           feature("{name: date, type: list}"),
		"input_features[0].length: 0 is out of range: it must be at least 1":                                                                     feature("{name: legs, type: list, length: 0}"),
		"input_features[0].length: 4097 is out of range: it must be at most 4096":                                                                feature("{name: legs, type: list, length: 4097}"),
		"input_features[0].length: a number has no length":                                                                                       feature("{name: x, type: number, expression: 'legs[0]', length: 2}"),
		"input_features[0].shape: [2 0] has a dimension below 1":                                                                                 feature("{name: legs, type: list, shape: [2, 0]}"),
		"input_features[0].most_common: a list has no most_common":                                                                               feature("{name: legs, type: list, most_common: 2}"),
		"input_features[0].missing_value_strategy: a list has no fill_with_mode":                                                                 feature("{name: legs, type: list, missing_value_strategy: fill_with_mode}"),
		"input_features[0].encoder.type: a list has no encoder onehot (it has elements)":                                                         feature("{name: legs, type: list, encoder: {type: onehot}}"),
		"column tags of type list<string>: not supported (lists of numbers and bools are, one level deep":                                        feature("{name: tags, type: list}"),
		"column deep of type list<list<int64>>: not supported (lists of numbers and bools are, one level deep":                                   feature("{name: deep, type: list}"),
		"a binary output is a bool or a number: this is list<float64>":                                                                           {"expression: \"delay > 15\"", `expression: "legs"`},
		"sources.events.format.type: column legs is a list<float64>, and csv events have no lists (use json or avro)":                            append(feature("{name: legs, type: list}"), "{type: json}", "{type: csv}"),
		"cast.type: column legs is list<float64>, which has no form as string":                                                                   {"    split:", "    clean: [{cast: {column: legs, type: string}}]\n    split:"},
		"fill.value: column legs is list<float64>, which cannot hold 1":                                                                          {"    split:", "    clean: [{fill: {columns: [legs], strategy: fill_with_const, value: 1}}]\n    split:"},
		"columns[0].from: the key of a record is a text, not a list<int64> (leave it out: events hold lists)":                                    {someFeatures, "  schema: {columns: [{name: n, type: 'list<int64>', from: key}]}\n" + someFeatures},
		"columns[0].type: column legs is list<float64> in the training data (declare it as list<float64> and add a cast step)":                   {someFeatures, "  schema: {columns: [{name: legs, type: 'list<int64>'}]}\n" + someFeatures},
		"columns[0].type: \"list\" is not allowed here (one of string, int64, float64, bool, timestamp, list<int64>, list<float64>, list<bool>)": {someFeatures, "  schema: {columns: [{name: legs, type: list}]}\n" + someFeatures},
	} {
		text := string(read(t, "flights.yaml"))
		for i := 0; i < len(edits); i += 2 {
			if !strings.Contains(text, edits[i]) {
				t.Fatalf("flights.yaml has no %q", edits[i])
			}
			text = strings.Replace(text, edits[i], edits[i+1], 1)
		}
		_, err := pipeline.ParseAndCompile(catalog.All(), "flights.yaml", []byte(text), vectorColumns())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nwant %s", err, want)
		}
	}
}

// Lists that nothing reads matter to nobody, whatever the format of events.
func TestListsThatNothingReadsDoNotMatter(t *testing.T) {
	p := compile(t, edited(t, "{type: json}", "{type: csv}"), vectorColumns())
	if !slices.Contains(p.Unread, "legs") || !slices.Contains(p.Unread, "flags") {
		t.Errorf("unread: %v", p.Unread)
	}
}
