package main

import (
	"strings"
	"testing"
)

// runLine runs a command line and returns what it prints.
func runLine(t *testing.T, line string) (string, error) {
	t.Helper()
	var out strings.Builder
	root := newRoot()
	root.SetArgs(strings.Fields(line))
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// TestMistakesOnTheCommandLineAreNamed: they fail, and say where help is.
func TestMistakesOnTheCommandLineAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"strem":                         "did you mean stream?",
		"stream statuss":                "stream: statuss: there is no such command (did you mean status?)",
		"dlq foo":                       "one of list, replay, show",
		"runs strat":                    "runs: strat: there is no such command (did you mean start?)",
		"results":                       "results: accepts 1 arg(s), received 0 (usage: thalweg results PIPELINE [flags])",
		"dlq list p --were x":           "unknown flag: --were (`thalweg dlq list --help` tells how)",
		"stream resume p --skip 1-2":    "need --partition",
		"stream resume p --partition 1": "--skip",
	} {
		if _, err := runLine(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	for _, line := range []string{"", "stream", "dlq --help"} {
		if _, err := runLine(t, line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}
