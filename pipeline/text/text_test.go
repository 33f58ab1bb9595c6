package text

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func terms(c *Cutter, text string) (out []string) {
	c.Each(text, func(term []byte) { out = append(out, string(term)) })
	return out
}

func TestWordsAreThoseOfUnicode(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              nil,
		" \t\n ... !? — ":               nil,
		"The quick, BROWN fox.":         {"the", "quick", "brown", "fox"},
		"can't stop 3.14 times, v2.0_a": {"can't", "stop", "3.14", "times", "v2.0_a"},
		"Straße naïve e\u0301tude":      {"straße", "naïve", "e\u0301tude"},
		"東京 Москва":                     {"東", "京", "москва"},
		"a-b a/b a&b":                   {"a", "b", "a", "b", "a", "b"},
		"it is 🙂 fine":                  {"it", "is", "fine"},
	} {
		if got := terms(NewCutter(1, 1, "none"), text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTermsAreRunsOfWords(t *testing.T) {
	c := NewCutter(1, 3, "")
	if got, want := terms(c, "One two, three"), []string{"one", "two", "three", "one two", "two three", "one two three"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := terms(NewCutter(2, 2, ""), "alone"); got != nil {
		t.Errorf("%q", got)
	}
	if got := terms(c, "Again"); !slices.Equal(got, []string{"again"}) {
		t.Errorf("after another text: %q", got)
	}
}

// The stems are those of Snowball's own list for English (Porter 2).
func TestStemsAreThoseOfSnowball(t *testing.T) {
	c := NewCutter(1, 1, "english")
	for word, want := range map[string]string{"consigned": "consign", "Consistency": "consist", "knightly": "knight", "generously": "generous",
		"delays": "delay", "delayed": "delay", "skies": "sky", "dying": "die", "news": "news", "proceed": "proceed", "happily": "happili", "the": "the"} {
		for range 2 { // the second time it is remembered
			if got := terms(c, word); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %s", word, got, want)
			}
		}
	}
}

func TestRememberedStemsAreBounded(t *testing.T) {
	c := NewCutter(1, 1, "english")
	for i := range maxStems + 10 {
		c.Each(strings.Repeat("a", i%50+1)+strings.Repeat("b", i/50+1), func([]byte) {})
		if len(c.stems) > maxStems {
			t.Fatalf("%d stems", len(c.stems))
		}
	}
}

func TestStemsOfLongWordsAreNotRemembered(t *testing.T) {
	c := NewCutter(1, 1, "english")
	if got := terms(c, strings.Repeat("a", maxStemmed)+"s delays"); len(got) != 2 || len(c.stems) != 1 || got[0] != strings.Repeat("a", maxStemmed) {
		t.Errorf("%q, %d stems", got, len(c.stems))
	}
}

func FuzzTerms(f *testing.F) {
	f.Add("The quick can't 3.14 東京", 2)
	f.Add("\xff\u0301 a\x00b", 1)
	f.Fuzz(func(t *testing.T, text string, most int) {
		c := NewCutter(1, 1+max(most, -most)%3, "english")
		for _, term := range terms(c, text) {
			if term == "" || strings.HasPrefix(term, " ") || strings.HasSuffix(term, " ") {
				t.Errorf("term %q", term)
			}
			if utf8.ValidString(text) && !utf8.ValidString(term) {
				t.Errorf("%q is cut within a character: %q", text, term)
			}
		}
	})
}
