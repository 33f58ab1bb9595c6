package main

import (
	"io"
	"strings"
	"testing"
)

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
		root := newRoot()
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	for _, line := range []string{"", "stream", "dlq --help"} {
		root := newRoot()
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}
