package main

import (
	"strings"
	"testing"
)

// TestExplainPrintsAField: its type, default and meaning, its fields by the entry
// that has them, and an example; programs get the same as JSON.
func TestExplainPrintsAField(t *testing.T) {
	text, err := runLine(t, "explain spec.trainer.optimizer")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"spec.trainer.optimizer: mapping with a type, one of auto, sgd,", "; default auto\n", "FIELDS\n  type: one of auto,",
		"\n  of adam\n    learning_rate: number, above 0; default 0.005\n", "EXAMPLE\n  spec:\n    trainer:\n      optimizer:\n        type: adam\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 110 {
			t.Errorf("a line is too long: %s", line)
		}
	}
	if text, err = runLine(t, "explain spec.trainer.optimizer -o json"); err != nil || !strings.Contains(text, `"of": "adam"`) {
		t.Errorf("as JSON: %v\n%s", err, text)
	}
	if _, err = runLine(t, "explain spec.trainer.optimiser"); err == nil || !strings.Contains(err.Error(), "did you mean optimizer?") {
		t.Errorf("a misspelt field: %v", err)
	}
}

// TestExplainPrintsTheLanguageOfExpressions: types, null, names of columns, each
// operator and function, and one of them alone.
func TestExplainPrintsTheLanguageOfExpressions(t *testing.T) {
	text, err := runLine(t, "explain expressions")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"VALUES\n", "NULL\n", "`tail number`", "  a ?? b\n", "FUNCTIONS\n  abs(x)\n", "  trim(s)   trim(s, cut)\n", `origin[0:2] is "JF"`} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	for line, want := range map[string]string{
		"explain expressions coalesce":     "coalesce(a, b)\n    Takes values of one type",
		"explain expressions ??":           "a ?? b\n",
		"explain expressions hour -o json": `"yields": "int64"`,
	} {
		if text, err := runLine(t, line); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v\n%s", line, err, text)
		}
	}
	for line, want := range map[string]string{
		"explain expressions houre":  "did you mean hour?",
		"explain expressions LENGTH": "write len(a)",
		"explain spec.trainer hour":  "behind expressions alone",
	} {
		if _, err := runLine(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
