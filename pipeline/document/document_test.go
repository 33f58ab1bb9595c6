package document

import (
	"strings"
	"testing"
)

func TestWhatIsTooMuchIsNamedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct {
		text, says string
		line       int
	}{
		"bytes":             {strings.Repeat("a", MaxBytes+1), "bytes, at most 262144", 0},
		"lines":             {strings.Repeat("\n", MaxLines+2), "more than 16384 lines", 0},
		"carriage returns":  {strings.Repeat("\r", MaxLines+2), "more than 16384 lines", 0},
		"brackets":          {"a: 1\nb: " + strings.Repeat("[", 65), "nests deeper than 64", 2},
		"indentation":       {"a:\n" + strings.Repeat(" ", 257) + "b: 1\n", "nests deeper than 64", 2},
		"values":            {"a: [" + strings.Repeat("1,", maxCost/itemCost) + "]", "fields and values", 1},
		"fields":            {"a:\n" + strings.Repeat(" b: 1\n", 1500), "fields in one mapping", 1449},
		"a long text":       {"a: 1\nb: " + strings.Repeat("x", maxScalar+1), "a text has 65537 bytes", 2},
		"a question mark":   {"a: 1\n? b\n: 1\n", "a question mark begins", 2},
		"names":             {strings.Repeat("n", 4000) + ":\n" + strings.Repeat(" - a: 1\n", 1000), "too long names", 0},
		"a second document": {"a: 1\n---\nb: 1\n", "a second document", 3},
		"nothing":           {"# a comment\n", "is empty", 0},
	} {
		root, flaw := Parse("spec", []byte(c.text))
		if root != nil || flaw == nil || !strings.Contains(flaw.Message, c.says) || flaw.Line != c.line {
			t.Errorf("%s: %+v, want line %d: %s", name, flaw, c.line, c.says)
		}
	}
}

// Entries of a list are no fields of one mapping, and neither are those of mappings that end.
func TestManySmallMappingsAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"in a list":      "a:\n" + strings.Repeat("  - b: 1\n    c: 2\n    d: {e: 1}\n", 1500),
		"in each other":  strings.Repeat("a:\n  b:\n    c: 1\n    d: 1\n", 1),
		"with comments":  "a: 1\n" + strings.Repeat("# x\n", 10_000),
		"in one line":    "{" + strings.Repeat("a: 1, ", 5000) + "}",
		"a long literal": "a: |\n" + strings.Repeat("  x\n", 1000),
	} {
		if _, flaw := Parse("spec", []byte(text)); flaw != nil {
			t.Errorf("%s: %+v", name, flaw)
		}
	}
}

// JSON is YAML, and programs that write it indent it.
func TestIndentedJSONOfManyFeaturesIsRead(t *testing.T) {
	text := "{\n  \"input_features\": [\n" + strings.Repeat("    {\n      \"name\": \"f\",\n      \"type\": \"number\"\n    },\n", 1000) + "    {}\n  ]\n}\n"
	if p := Excess("spec", []byte(text)); p != nil {
		t.Error(p.Line, p.Message)
	}
}
