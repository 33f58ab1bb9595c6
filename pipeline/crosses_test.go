package pipeline_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// crossing returns the crosses of a plan of the flights' spec with the field crosses,
// and what else is edited in it.
func crossing(t *testing.T, crosses string, edit ...string) (*pipeline.Plan, error) {
	t.Helper()
	text := strings.Replace(string(read(t, "flights.yaml")), "  output_features:", "  crosses: "+crosses+"\n  output_features:", 1)
	return pipeline.ParseAndCompile(catalog.All(), "spec.yaml", []byte(strings.NewReplacer(edit...).Replace(text)), flightColumns)
}

func namesOf(plan *pipeline.Plan) map[string]int {
	out := make(map[string]int)
	for _, c := range plan.Crosses {
		out[c.Name] = c.Buckets
	}
	return out
}

func TestCrossesAreOfNamedFeaturesOrOfAllPairs(t *testing.T) {
	for text, want := range map[string]map[string]int{
		"[[origin, weekday], {columns: [hour, origin, destination], buckets: 512}]": {"origin × weekday": 65536, "hour × origin × destination": 512},
		"pairs": {"origin × destination": 65536, "origin × hour": 65536, "origin × weekday": 65536,
			"destination × hour": 65536, "destination × weekday": 65536, "hour × weekday": 65536},
		// What is named has its own buckets.
		"[{all: pairs, buckets: 16}, {columns: [weekday, origin], buckets: 1024}]": {"origin × destination": 16, "origin × hour": 16,
			"weekday × origin": 1024, "destination × hour": 16, "destination × weekday": 16, "hour × weekday": 16},
	} {
		plan, err := crossing(t, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, namesOf(plan)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	plan, err := crossing(t, "[[distance, origin]]", "distance,    type: number", "distance,    type: number, encoder: {type: bins, count: 16}")
	if err != nil || len(plan.Crosses) != 1 || plan.Crosses[0].Name != "distance × origin" {
		t.Errorf("a number in bins: %v, error %v", plan, err)
	}
}

func TestCrossesKeepTheirMeaningWhenRendered(t *testing.T) {
	for _, text := range []string{"pairs", "[[origin, weekday], {all: pairs, buckets: 64}]"} {
		plan, err := crossing(t, text)
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := pipeline.Render(plan.Spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pipeline.ParseAndCompile(catalog.All(), "rendered.yaml", rendered, flightColumns)
		if err != nil {
			t.Fatalf("%v\n%s", err, rendered)
		}
		if diff := cmp.Diff(namesOf(plan), namesOf(again)); diff != "" {
			t.Errorf("%s:\n%s", rendered, diff)
		}
		without, err := crossing(t, "[[origin, weekday]]")
		if err != nil || pipeline.TrainingHash(plan.Spec) != pipeline.TrainingHash(again.Spec) || pipeline.TrainingHash(plan.Spec) == pipeline.TrainingHash(without.Spec) {
			t.Errorf("%s: the training hash does not follow the crosses: %v", text, err)
		}
	}
}

func TestCrossesThatCannotBeAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"[[origin, wekday]]":                       `there is no input feature "wekday" (did you mean weekday?)`,
		"[[origin, distance]]":                     `feature "distance" is a number`,
		"[[origin, weekday], [weekday, origin]]":   "a second cross of weekday and origin",
		"[{columns: [origin, hour]}, {all: many}]": `"many" is not allowed here`,
	} {
		_, err := crossing(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := crossing(t, "pairs", "type: category", "type: category, missing_value_strategy: drop_row",
		"  scoring:", "  model: {type: trees}\n  scoring:"); err == nil || !strings.Contains(err.Error(), "a model of type trees has no crosses") {
		t.Errorf("crosses of trees: %v", err)
	}
	if _, err := crossing(t, "pairs", "origin,      type: category", "origin,      type: category, encoder: {type: hash, buckets: 300}",
		"  scoring:", "  model: {type: trees}\n  scoring:"); err == nil || !strings.Contains(err.Error(), "does not tell 300 buckets apart") {
		t.Errorf("hashed categories of trees: %v", err)
	}
}
