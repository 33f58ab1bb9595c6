package artifact

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/model"
)

const remarks = `{name: remarks, type: text, expression: "origin + ' in ' + code", encoder: {type: hashing, ngrams: [1, 2], buckets: 512}}`

// TestTextsStartAsTheirParentEnded where their terms mean the same.
func TestTextsStartAsTheirParentEnded(t *testing.T) {
	for _, label := range []string{"binary", "category"} {
		parent, next := warmed(t, remarks, label, "linear", 0, 50), warmed(t, remarks, label, "linear", 0, 50)
		params, got, err := next.StartFrom(parent)
		if err != nil || got.Features != 1 || len(got.New) > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if !slices.Equal(params, parent.Params) {
			t.Errorf("%s: other weights than the parent's", label)
		}
	}
	parent := warmed(t, remarks, "binary", "linear", 0, 50)
	for _, edit := range [][2]string{{"buckets: 512", "buckets: 256"}, {"ngrams: [1, 2]", "ngrams: [1, 1]"}, {"type: hashing", "type: bag"}, {"buckets: 512", "buckets: 512, stem: english"}} {
		_, got, err := warmed(t, strings.Replace(remarks, edit[0], edit[1], 1), "binary", "linear", 0, 50).StartFrom(parent)
		if err != nil || got.Features != 0 || !slices.Equal(got.New, []string{"remarks"}) {
			t.Errorf("with %s: %+v, %v", edit[1], got, err)
		}
	}
}

// TestWeightsOfTermsHaveTheirNames, after the artifact was written and read too.
func TestWeightsOfTermsHaveTheirNames(t *testing.T) {
	a := warmed(t, strings.Replace(remarks, "buckets: 512", "buckets: 262144", 1), "binary", "linear", 0, 50)
	v, _ := model.Find(a.Model, "terms.remarks.weight")
	clear(v.Of(a.Params))
	for id, name := range a.Transform.Features()[0].Terms.Names {
		if name != "" {
			v.Of(a.Params)[id] = float32(len(name))
		}
	}
	v.Of(a.Params)[slices.Index(a.Transform.Features()[0].Terms.Names, "")] = -100
	b, err := Decode(catalog.All(), encode(t, a))
	if err != nil {
		t.Fatal(err)
	}
	weights := b.Weights()
	if weights[0].Effect != -100 || !strings.HasPrefix(weights[0].Value, "bucket ") {
		t.Errorf("%+v", weights[0])
	}
	for _, w := range weights[1:] {
		if w.Effect != float64(len(w.Value)) {
			t.Errorf("%+v", w)
		}
	}
	if i := slices.IndexFunc(weights, func(w Weight) bool { return w.Value == "a3 in" }); i < 0 {
		t.Errorf("no weight of a pair in %+v", weights)
	}
}

// TestATextScoresAsItsTermsDo compares with the sum by hand.
func TestATextScoresAsItsTermsDo(t *testing.T) {
	a := warmed(t, `{name: remarks, type: text, expression: "origin", encoder: {type: bag, buckets: 262144}}`, "binary", "linear", 0, 50)
	bias, _ := model.Find(a.Model, "bias")
	words, _ := model.Find(a.Model, "terms.remarks.weight")
	id := slices.Index(a.Transform.Features()[0].Terms.Names, "a3")
	z := float64(bias.Of(a.Params)[0]) + float64(words.Of(a.Params)[id])
	if got, want := outputs(t, a, a.Params, "binary", 3, 4)[0], 1/(1+math.Exp(-z)); math.Abs(float64(got)-want) > 1e-6 {
		t.Errorf("%v, want %v", got, want)
	}
}
