package main

import (
	"io"
	"os"
	"path/filepath"
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
	root.SetErr(io.Discard)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// TestMistakesOnTheCommandLineAreNamed: they fail, and say where help is.
func TestMistakesOnTheCommandLineAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"aply":                             "no command aply (did you mean apply?)",
		"stream statuss":                   "stream: no command statuss (did you mean status?)",
		"dlq foo":                          "one of list, replay, show",
		"runs strat":                       "runs: no command strat (did you mean start?)",
		"results":                          "results: PIPELINE is missing (usage: thalweg results PIPELINE [flags])",
		"models promote m":                 "models promote: VERSION is missing (usage: thalweg models promote MODEL VERSION [flags])",
		"render a.yaml b.yaml":             `render: "b.yaml" is an argument too many (usage: thalweg render SPEC [flags])`,
		"schema x":                         `schema: "x" is an argument too many`,
		"replay p":                         "replay: --into is missing (usage: thalweg replay [PIPELINE] --model VERSION --into s3://BUCKET/PREFIX/ [flags])",
		"diff p":                           "diff: --with is missing (usage: thalweg diff PIPELINE --with",
		"diff p --with lake":               `--with: "lake": invalid (want s3://bucket/prefix/)`,
		"replay p --into lake":             `--into: "lake": it is not s3://bucket/key (a bucket's name`,
		"replay p --into s3://lake/./x/":   `--into: "s3://lake/./x/": it has a part . (`,
		"replay --into s3://lake/x/":       "PIPELINE: is missing (want a pipeline, or --topic)",
		"apply":                            "apply: --file is missing (usage: thalweg apply -f SPEC [flags])",
		"lineage":                          "PIPELINE: is missing (want a pipeline, --topic or --from-file)",
		"lineage p":                        "--offset: is missing (want the offset of an event)",
		"lineage p q":                      `lineage: "q" is an argument too many (usage: thalweg lineage [PIPELINE]`,
		"lineage p --offset -3":            `--offset: "-3": invalid`,
		"lineage --from-file ../../go.mod": "--from-file: ../../go.mod: read lineage: ",
		"dlq show p --where x":             "--where: select dead letters: \"x\": ",
		"dlq list p --where nope==1":       "(`thalweg dlq --help` has the fields)",
		"dlq replay p --where stage":       "--where: select dead letters",
		"validate /none.yaml":              "read spec: open /none.yaml: no such file or directory (name a file of YAML, or - for standard input)",
		"render .":                         "read spec: read .: is a directory (name a file of YAML",
		"validate ../../deploy/demo/flights.yaml --data terminal":        "open data: terminal: there is no file terminal/*.parquet (there is ",
		"validate ../../deploy/demo/flights.yaml --data ../../README.md": "open data: ../../README.md: ",
		"dlq list p --were x":           "unknown flag: --were (`thalweg dlq list --help` tells how)",
		"stream resume p --skip 1-2":    "need --partition",
		"stream resume p --partition 1": "--skip",
	} {
		if _, err := runLine(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := runLine(t, "aply"); err == nil || err.Error() != "no command aply (did you mean apply?)" {
		t.Errorf("a misspelt verb: %v", err)
	}
	for _, line := range []string{"", "stream", "dlq --help"} {
		if _, err := runLine(t, line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// Whoever looks for a verb finds its file by its name: `thalweg apply` is apply.go, and
// `thalweg dlq show` is dlq/show.go.
func TestEveryVerbHasTheFileOfItsName(t *testing.T) {
	there := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	for _, verb := range newRoot().Commands() {
		name := verb.Name()
		folder := there(filepath.Join(name, name+".go"))
		if file := there(name + ".go"); file == folder {
			t.Errorf("%s: %s.go and %s/%s.go: one of them is wanted", name, name, name, name)
		}
		for _, below := range verb.Commands() {
			if file := filepath.Join(name, below.Name()+".go"); folder && !there(file) {
				t.Errorf("%s has no file %s", below.CommandPath(), file)
			}
		}
	}
}
