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
