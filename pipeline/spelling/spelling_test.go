package spelling_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

func TestNearestOffersWhatWasMeant(t *testing.T) {
	names := []string{"expression", "type", "name", "input_features", "output_features", "hour", "TrainingData"}
	for word, want := range map[string]string{
		"expresion":    "expression",
		"nmae":         "name",
		"tpye":         "type",
		"Type":         "type",
		"input_featur": "input_features",
		"houre":        "hour",
		"trainingdata": "TrainingData",
		"colour":       "",
		"":             "",
		"zzz":          "",
	} {
		if got := spelling.Nearest(word, slices.Values(names)); got != want {
			t.Errorf("nearest of %q is %q, want %q", word, got, want)
		}
	}
	if got := spelling.Hint("houre", slices.Values(names)); got != "did you mean hour?" {
		t.Errorf("hint is %q", got)
	}
	if got := spelling.Nearest(strings.Repeat("x", 1e6), slices.Values(names)); got != "" {
		t.Errorf("nearest of a very long word is %q", got)
	}
}

func TestDistanceIsSymmetricAndBounded(t *testing.T) {
	text := rapid.StringMatching(`[abc]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		d := spelling.Distance(a, b)
		if d != spelling.Distance(b, a) {
			t.Fatalf("%q to %q is %d, back is %d", a, b, d, spelling.Distance(b, a))
		}
		if d > max(len(a), len(b)) || (d == 0) != (a == b) {
			t.Fatalf("%q to %q is %d", a, b, d)
		}
	})
}

// Names that look alike are nearest, and the hint shows how they differ.
func TestHintTellsUnicodeFormsAndBlanksApart(t *testing.T) {
	for _, tc := range []struct{ word, name, want string }{
		{"caf\u00e9", "cafe\u0301", `"cafe\u0301"? It is another Unicode form`},
		{"cafe\u0301", "caf\u00e9", `"caf\u00e9"? It is another Unicode form`},
		{"x", "x ", `"x "? Blanks`},
		{"distance", "\u00a0distance", `"\u00a0distance"? Blanks`},
		{"distance", "\ufeffdistance", `"\ufeffdistance"? Blanks`},
		{"unit price", "unit\u2003price", `"unit\u2003price"? Blanks`},
		{"unitprice", "unit price", `"unit price"? Blanks`},
		{"\ufb01sh", "fish", `"fish"? Blanks`},
		{"Origin", "origin", "did you mean origin?"},
		{"orign", "origin", "did you mean origin?"},
	} {
		if got := spelling.Hint(tc.word, slices.Values([]string{"other", tc.name})); !strings.Contains(got, tc.want) {
			t.Errorf("%+q for %+q: %s, want %s", tc.word, tc.name, got, tc.want)
		}
	}
	if got := spelling.Hint(" ", slices.Values([]string{"\u200b\u200b\u200b\u200b"})); got != "" {
		t.Errorf("names of nothing: %s", got)
	}
}
