package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/feature"
)

func TestATextHasDefaultsOfItsOwn(t *testing.T) {
	s := edited(t, someFeatures, "  defaults: {category: {most_common: 7, fill_value: x}}\n"+someFeatures+"    - {name: route, type: text, expression: \"origin + ' ' + destination\", encoder: {type: hashing, ngrams: [1, 2]}}\n")
	for range 2 {
		p := compile(t, s, flightColumns)
		o := p.Features[0].Options
		if cut := o.Encoder.Options.(*feature.Hashing).Cut; fmt.Sprintf("%v %v %v", cut.NGrams, cut.Buckets, cut.Stem) != "[1 2] 65536 none" || o.MostCommon != nil || o.FillValue != nil || o.Normalization != "" || o.MissingValueStrategy != "fill_with_const" {
			t.Errorf("%+v", o)
		}
		text, err := pipeline.Render(s) // which says the same
		if err != nil {
			t.Fatal(err)
		}
		s = parse(t, "rendered.yaml", text)
	}
	if o := compile(t, edited(t, someFeatures, someFeatures+"    - {name: origin, type: text}\n", "    - {name: origin,      type: category}\n", ""), flightColumns).Features[0].Options; o.Encoder.Name != "tfidf" {
		t.Errorf("%+v", o)
	}
}

func TestSpecsOfTextsAndSetsSayWhatIsWrong(t *testing.T) {
	for feature, want := range map[string]string{
		"{name: w, type: text, expression: distance + 1}":                                   "a text cannot be made of values of type int64 (write type: number or category)",
		"{name: w, type: text, expression: hour(date)}":                                     "a text cannot be made of values of type int64",
		"{name: w, type: text, expression: origin, encoder: {type: onehot}}":                "input_features[0].encoder.type: a text has no encoder onehot (it has tfidf, hashing, bag)",
		"{name: w, type: category, expression: origin, encoder: {type: bag}}":               "a category has no encoder bag",
		"{name: w, type: text, expression: origin, normalization: zscore}":                  "a text has no normalization",
		"{name: w, type: text, expression: origin, most_common: 5}":                         "a text has no most_common",
		"{name: w, type: text, expression: origin, min_count: 5}":                           "a text has no min_count",
		"{name: w, type: text, expression: origin, length: 5}":                              "a text has no length",
		"{name: w, type: text, expression: origin, missing_indicator: true}":                "a text has no missing_indicator",
		"{name: w, type: text, expression: origin, fill_value: 3}":                          "fill_value: a string belongs here, not 3 (put it in quotes)",
		"{name: w, type: text, expression: origin, missing_value_strategy: fill_with_mode}": "a text has no fill_with_mode",
		"{name: w, type: text, expression: origin, encoder: {type: tfidf, ngrams: [2, 1]}}": "encoder.ngrams: terms of 2 to 1 words: they have 1 to 5 (such as [1, 2]",
		"{name: w, type: text, expression: origin, encoder: {type: tfidf, ngrams: [1, 6]}}": "encoder.ngrams: terms of 1 to 6 words",
		"{name: w, type: text, expression: origin, encoder: {type: tfidf, ngrams: [1]}}":    "encoder.ngrams",
		"{name: w, type: text, expression: origin, encoder: {type: bag, stem: klingon}}":    `encoder.stem: "klingon" is not allowed here (one of none, english)`,
		"{name: w, type: text, expression: origin, encoder: {type: bag, buckets: 300000}}":  "encoder.buckets: 300000 is out of range: it must be at most 262144",
	} {
		text := strings.Replace(string(read(t, "flights.yaml")), someFeatures, someFeatures+"    - "+feature+"\n", 1)
		if _, err := pipeline.ParseAndCompile(catalog.All(), "flights.yaml", []byte(text), flightColumns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", feature, err, want)
		}
	}
	for _, edits := range [][]string{
		{"{name: w, type: text, expression: origin}", "{name: w, type: set, expression: distance}", "a set cannot be made of values of type int64"},
		{"{name: w, type: text, expression: origin}", "{name: w, type: set, expression: origin, encoder: {type: tfidf}}", "a set has no encoder tfidf (it has multihot)"},
		{"{name: w, type: text, expression: origin}", "{name: w, type: set, expression: origin, most_common: 3}", "a set has no most_common"},
		{"{name: w, type: text, expression: origin}", "{name: w, type: set, expression: origin, encoder: {type: multihot, separator: ''}}", "encoder.separator"},
		{"  preprocessing:", "  crosses: [[w, weekday]]\n  preprocessing:", "feature \"w\" is a text (a cross is of categories)"},
		{"  preprocessing:", "  model: {type: trees}\n  preprocessing:", "a text of a model of type trees: not supported"},
	} {
		text := strings.Replace(string(read(t, "flights.yaml")), someFeatures, someFeatures+"    - {name: w, type: text, expression: origin}\n", 1)
		if !strings.Contains(text, edits[0]) {
			t.Fatalf("flights.yaml has no %q", edits[0])
		}
		if _, err := pipeline.ParseAndCompile(catalog.All(), "flights.yaml", []byte(strings.Replace(text, edits[0], edits[1], 1)), flightColumns); err == nil || !strings.Contains(err.Error(), edits[2]) {
			t.Errorf("%v\nwant %s", err, edits[2])
		}
	}
}
