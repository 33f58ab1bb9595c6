package counterfactual_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/counterfactual"
	"github.com/thalweg/thalweg/pipeline/event"
)

// linear is a model that says true of far flights and some origins: distance counts 3 a
// deviation, origin A1 2, hour 7 1.
func linear(t testing.TB) *artifact.Artifact {
	t.Helper()
	a := artifacttest.TrainFlights(t, artifacttest.Flights, 1)
	clear(a.Params)
	for _, f := range a.Transform.Features() {
		for _, v := range a.Model.Views() {
			switch {
			case v.Name == "number.distance.weight":
				v.Of(a.Params)[0] = 3
			case v.Name == "category."+f.Name+".weight" && f.Category != nil:
				for i, value := range f.Category.Values {
					switch {
					case f.Name == "origin" && value == "A1":
						v.Of(a.Params)[i+1] = 2
					case f.Name == "hour" && value == "7":
						v.Of(a.Params)[i+1] = 1
					}
				}
			case v.Name == "bias":
				v.Of(a.Params)[0] = -2.5
			}
		}
	}
	return a
}

const row = `{"date": "1970-01-01T03:00:00Z", "distance": 950, "origin": "a2"}`

// predicted scores a row that is written down.
func predicted(t *testing.T, a *artifact.Artifact, row string) (answer bool, probability float32) {
	t.Helper()
	decoder, err := a.NewRowDecoder()
	if err != nil {
		t.Fatal(err)
	}
	rec, rejects, err := decoder.Decode(t.Context(), event.Events{Values: []byte(row), Ends: []int{len(row)}, Offsets: []int64{0}})
	if err != nil || len(rejects) > 0 {
		t.Fatal(err, rejects)
	}
	defer rec.Release()
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	cleaned, p, err := s.Score(t.Context(), rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	cleaned.Release()
	return s.Decide(p[0]), p[0]
}

// TestACounterfactualTurnsThePredictionWithinWhatTrainingSaw: the stream's own scorer says
// so of the changed row, values are within the ranges, and the smallest change is found.
func TestACounterfactualTurnsThePredictionWithinWhatTrainingSaw(t *testing.T) {
	a := linear(t)
	if yes, _ := predicted(t, a, row); yes {
		t.Fatal("the row is predicted true already")
	}
	for seed := range uint64(5) {
		found, err := counterfactual.Find(t.Context(), a, []byte(row), counterfactual.Config{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		// The distance alone has to move by less than half of its range.
		if found.After == nil || found.After.Prediction != true || len(found.Changes) != 1 || found.Changes[0].Feature != "distance" {
			t.Fatalf("%+v", found)
		}
		c := found.Changes[0]
		to := c.To.(int64)
		if float64(to) < c.Range[0] || float64(to) > c.Range[1] || c.From != int64(950) || found.Distance != c.Distance {
			t.Errorf("%+v", c)
		}
		for d, want := range map[int64]bool{0: true, -1: false} { // one mile less does not do
			changed := strings.Replace(row, "950", fmt.Sprint(to+d), 1)
			if yes, p := predicted(t, a, changed); yes != want || d == 0 && float64(p) != found.After.Score {
				t.Errorf("%s: %v with %v, the search says %v", changed, yes, p, found.After.Score)
			}
		}
		again, err := counterfactual.Find(t.Context(), a, []byte(row), counterfactual.Config{Seed: seed})
		if diff := cmp.Diff(found, again); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

// TestKeptFeaturesStay: without the distance, two categories have to change.
func TestKeptFeaturesStay(t *testing.T) {
	a := linear(t)
	found, err := counterfactual.Find(t.Context(), a, []byte(row), counterfactual.Config{Keep: []string{"distance"}})
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, c := range found.Changes {
		changes = append(changes, fmt.Sprintf("%s %v to %v", c.Feature, c.From, c.To))
	}
	slices.Sort(changes)
	if diff := cmp.Diff([]string{"hour 3 to 7", "origin A2 to A1"}, changes); diff != "" || found.Distance != 2 || found.Kept["distance"] == "" {
		t.Errorf("%s\n%+v", diff, found)
	}
	if _, err := json.Marshal(found); err != nil {
		t.Error(err)
	}
	found, err = counterfactual.Find(t.Context(), a, []byte(row), counterfactual.Config{Keep: []string{"distance", "origin"}})
	if err != nil || found.After != nil || len(found.Changes) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestWhatCannotBeSearchedIsNamed.
func TestWhatCannotBeSearchedIsNamed(t *testing.T) {
	a := linear(t)
	above, none := 3.0, math.NaN()
	for want, c := range map[string]struct {
		row string
		cfg counterfactual.Config
	}{
		"did you mean distance?":               {row, counterfactual.Config{Keep: []string{"distanse"}}},
		"none may change":                      {row, counterfactual.Config{Keep: []string{"distance", "origin", "hour"}}},
		"wanted already":                       {row, counterfactual.Config{To: "false"}},
		"neither true nor false":               {row, counterfactual.Config{To: "late"}},
		"predicts no number":                   {row, counterfactual.Config{Above: &above}},
		"NaN is no bound":                      {row, counterfactual.Config{Below: &none}},
		"malformed JSON":                       {"[]", counterfactual.Config{}},
		`field "distance"`:                     {strings.Replace(row, "950", `"far"`, 1), counterfactual.Config{}},
		"not scored: 2 filter: distance == nu": {strings.Replace(row, "950", "200000", 1), counterfactual.Config{}},
	} {
		_, err := counterfactual.Find(t.Context(), a, []byte(c.row), c.cfg)
		if err == nil || !strings.Contains(err.Error(), want) || !thalweg.Is(err, thalweg.Invalid) && !thalweg.Is(err, thalweg.NotFound) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
