package main

import (
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"math/rand/v2"
	"strings"
	"testing"
)

// A version that does not pass its gates leaves the champion, says why wherever it is
// shown, and can be promoted by hand.
func TestAVersionThatDoesNotPassItsGatesLeavesTheChampion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := parallelDev(t, embedded.Config{})
	upload(t, c, rowsOf(t, 3000, "x city y", func(i int) []any {
		x := 3 * random.NormFloat64()
		return []any{x, []string{"Oslo", "Riga", "Bonn"}[i%3], 2*x + 10*float64(i%3) + random.NormFloat64()}
	}))
	apply := func(feature, expression string) string {
		t.Helper()
		text, err := applied(t, c, specOf("gated", `
  input_features: [`+feature+`{name: city, type: category}]
  output_features: [{name: y, type: number, expression: "`+expression+`"}]
  evaluation:
    slices: [{columns: [city], min_rows: 10}]
    gates:
      - {metric: rmse, upper_bound: 2.0, slices: [city]}
      - {metric: rmse, versus: champion, max_increase: 0.1}
      - {metric: rmse, versus: champion, max_increase: 0.2, slices: [city]}
`))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return text
	}
	says := func(text string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("it does not say %q:\n%s", want, text)
			}
		}
	}
	says(apply("{name: x, type: number}, ", "y"), "rmse at most 2 in each slice by city passed all 3 slices pass", "rmse up at most 0.1 versus champion passed there is no champion yet")
	const reason = "rmse at most 2 in each slice by city: city="
	says(apply("", "y"), "warning: version 2 is registered, but does not become champion, since it does not pass its gates: "+reason,
		"rmse up at most 0.1 versus champion FAILED the change from version 1 is",
		"rmse up at most 0.2 versus champion in each slice by city FAILED the change from version 1: city=")
	says(said(t, c, "models"), "gated 1 champion gated-1-1", "gated 2 (rejected) gated-2-1")
	says(said(t, c, "models", "show", "gated", "2"), "does not pass its gates: "+reason, "GATES gate outcome found")
	says(said(t, c, "runs", "show", "gated"), "does not pass its gates: "+reason)
	says(said(t, c, "models", "compare", "gated", "1", "2"), "METRIC VERSION 1 VERSION 2 DIFFERENCE 95 % INTERVAL", "test.rmse", "FIELD VERSION 1 VERSION 2 spec.input_features[x]")
	says(said(t, c, "models", "compare", "gated", "1"), "the models are the same, bit for bit")
	says(said(t, c, "models", "promote", "gated", "2"), "champion of gated is now version 2 (was 1)", "it did not pass its gates: "+reason)
	// Versus a champion by hand that is worse, the first spec passes again.
	says(apply("{name: x, type: number}, ", "y"), "rmse up at most 0.1 versus champion passed the change from version 2 is -",
		"rmse up at most 0.2 versus champion in each slice by city passed the change from version 2: all 3 slices pass")
	says(apply("{name: x, type: number}, ", "y + 1.0"), "rmse up at most 0.1 versus champion FAILED version 3 cannot score these rows: compare: output y", "its expression, type or classes are not those of output y of the new version (promote the new version by hand)")
	// Version 2 has served, and version 4 has not.
	says(said(t, c, "models", "rollback", "gated"), "champion of gated is now version 2 (was 3)")
	says(said(t, c, "models", "rollback", "gated"), "champion of gated is now version 1 (was 2)")
}
