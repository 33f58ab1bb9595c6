//go:build integration

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// notRun are the commands that TestDocumentedCommandsRun leaves out, by what they
// match, and why.
var notRun = map[string]string{
	"…":                     "it has a placeholder: what stands there is the reader's own",
	`^spark-shell|^spark\.`: "TestTheTableIsReadInOneCallByEveryReader of package integration has Spark read, in the versions of integration/spark",
	`thalweg demo`:          "TestTheDemosFiguresAreThoseOfItsFiles of package integration runs the demo",
	`10\.0\.0\.|--dir pki|^thalweg members remove`: "TestACoordinatorIsReplaced of package integration sets up a cluster, adds, renews and removes: these machines are not here",
	`^thalweg restore`: "TestABackupIsRestoredIntoANewCluster of package coordinator restores: the cluster of these tests is not new",
	`^import numpy`:    "the file that the sample was drawn from is not in the repository, nor is onnxruntime in the Python of these tests",
	`^thalweg rollout`: "tests of packages worker/stream/scorer, coordinator/liveness and integration play rollouts: no version is on its way here",
	`^thalweg quality`: "TestQualityOfAStreamByItsLabels of this package joins labels to rows: the demo's events have no key",
	`^thalweg verify`:  "TestVerifyComparesBatchStreamAndONNX of package integration verifies a stream that has just scored rows, by a Python with onnxruntime",
}

// later are commands that change what others need, in this order: that end a run, that
// lose events, that add some, that take a pipeline away. They come after all others.
var later = []*regexp.Regexp{regexp.MustCompile(`^thalweg runs cancel`), regexp.MustCompile(`--skip`), regexp.MustCompile(`^thalweg produce`), regexp.MustCompile(`^thalweg delete`)}

// turn is the place of a command among those that come later.
func turn(c documented) int {
	return slices.IndexFunc(later, func(r *regexp.Regexp) bool { return r.MatchString(c.text) })
}

// documented is a command that a document or a help text shows.
type documented struct {
	file     string
	line     int
	section  string // of the document; the verb of a help text
	language string
	text     string
}

// TestDocumentedCommandsRun runs what documents and help texts show, in the order in
// which they show it, as somebody types it beside a running `thalweg dev`.
func TestDocumentedCommandsRun(t *testing.T) {
	r := newReader(t)
	commands := append(inDocuments(t, r.root), inHelp(t)...)
	slices.SortStableFunc(commands, func(a, b documented) int { return turn(a) - turn(b) })
	left := map[string]bool{}
	for _, c := range commands {
		r.turnTo(c)
		if pattern := leftOut(c.text); pattern != "" {
			left[pattern] = true
			continue
		}
		out, err := r.follow(c)
		if err != nil {
			t.Errorf("%s:%d: %s\n%v\n%s", c.file, c.line, c.text, err, out)
		}
	}
	for pattern := range notRun {
		if !left[pattern] {
			t.Errorf("notRun has %q, and no command is like that any more", pattern)
		}
	}
	t.Logf("%d commands", len(commands))
}

func leftOut(command string) (pattern string) {
	for pattern := range notRun {
		if regexp.MustCompile(pattern).MatchString(command) {
			return pattern
		}
	}
	return ""
}

// inDocuments returns the commands in what users read, in the order in which they
// do.
func inDocuments(t *testing.T, root string) (found []documented) {
	t.Helper()
	files := []string{"README.md", "STREAMS.md", "CONTRIBUTING.md"}
	for _, dir := range []string{"deploy", "docs"} {
		_ = filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			name, _ := filepath.Rel(root, path)
			// The reference is made of the help texts, whose commands are run there.
			if err == nil && filepath.Ext(path) == ".md" && filepath.Dir(name) != "docs/reference" {
				files = append(files, name)
			}
			return nil // a directory may not be there
		})
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, inBlocks(file, string(text))...)
	}
	return found
}

// inBlocks returns the commands in a document's fenced blocks. A block of Python or
// SQL is one; a block in no such language has none.
func inBlocks(file, text string) (found []documented) {
	section, open := "", false
	var block documented
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			open, block = true, documented{file: file, line: i + 2, section: section, language: language}
		case fence:
			switch open = false; block.language {
			case "sh":
				found = append(found, commandsIn(block)...)
			case "python", "sql":
				found = append(found, block)
			}
		case open:
			block.text += line + "\n"
		case strings.HasPrefix(line, "## "):
			section = line
		}
	}
	return found
}

// commandsIn cuts a block of shell into its commands.
func commandsIn(block documented) (found []documented) {
	c := block
	c.text = ""
	for i, line := range strings.Split(block.text, "\n") {
		if c.text == "" {
			c.line = block.line + i
		}
		c.text += line
		if goesOn := regexp.MustCompile(`(\\|\||&&)$`).MatchString(line) || exec.Command("bash", "-n", "-c", c.text).Run() != nil; goesOn {
			c.text += "\n"
			continue
		}
		if first := strings.TrimSpace(c.text); first != "" && first[0] != '#' {
			found = append(found, c)
		}
		c.text = ""
	}
	return found
}

// inHelp returns the commands in the examples of each verb's help, in the order of
// the verbs.
func inHelp(t *testing.T) (found []documented) {
	t.Helper()
	places := literals(t)
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		lines := strings.Split(cmd.Example, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, "  ")
		}
		for _, c := range commandsIn(documented{section: cmd.CommandPath(), language: "sh", text: strings.Join(lines, "\n")}) {
			first, _, _ := strings.Cut(c.text, "\n")
			c.file, c.line = "the help of "+cmd.CommandPath(), c.line+1
			if place, ok := places["  "+first]; ok {
				c.file, c.line = filepath.Join("cmd/thalweg", place.Filename), place.Line
			}
			found = append(found, c)
		}
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	root := newRoot()
	cobra.EnableCommandSorting = false
	defer func() { cobra.EnableCommandSorting = true }()
	add(root)
	return found
}

// literals returns where each line of the texts of this package and of those below is.
func literals(t *testing.T) map[string]token.Position {
	t.Helper()
	places := map[string]token.Position{}
	names, err := filepath.Glob(filepath.Join(packageDir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob(filepath.Join(packageDir, "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, below...)
	for _, name := range names {
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				at := files.Position(lit.Pos())
				at.Filename, _ = filepath.Rel(packageDir, name)
				for line := range strings.SplitSeq(text, "\n") {
					places[line] = at
				}
			}
			return true
		})
	}
	return places
}

// packageDir is absolute, as demoFiles is.
var packageDir, _ = filepath.Abs(".")

// What stands in for a command that is left out is there: tests by their names, Spark
// in the versions that STREAMS.md has.
func TestWhatIsNotRunIsTestedElsewhere(t *testing.T) {
	root := filepath.Dir(filepath.Dir(packageDir))
	read := func(pattern string) (all string) {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all += string(text)
		}
		return all
	}
	tests, streams, pom := read("integration/*_test.go")+read("coordinator/*_test.go")+read("cmd/thalweg/*_test.go"), read("STREAMS.md"), read("integration/spark/pom.xml")
	for _, why := range notRun {
		if name := regexp.MustCompile(`^Test\w+`).FindString(why); !strings.Contains(tests, "func "+name) {
			t.Errorf("there is no %s", name)
		}
	}
	packages := regexp.MustCompile(`[\w.]+:([\w.-]+):([\d.]+)`).FindAllStringSubmatch(regexp.MustCompile(`--packages (\S+)`).FindString(streams), -1)
	for _, p := range packages {
		if !regexp.MustCompile(`<artifactId>` + regexp.QuoteMeta(p[1]) + `</artifactId>\s*<version>` + regexp.QuoteMeta(p[2]) + `<`).MatchString(pom) {
			t.Errorf("STREAMS.md has Spark load %s, which integration/spark does not", p[0])
		}
	}
	if len(packages) < 2 {
		t.Errorf("STREAMS.md has Spark load %v", packages)
	}
}

// follow does what a command says; an error says what is wrong with it.
func (r *reader) follow(c documented) (output string, err error) {
	command := r.here(c.text)
	switch {
	case c.language != "sh":
		command = r.script(c.language, command)
	case strings.HasPrefix(command, "make"):
		command = "make -n -C " + r.root + strings.TrimPrefix(command, "make")
	case endless.MatchString(command) && !regexp.MustCompile(`&\s*$|&\n`).MatchString(command):
		return r.keep(c, command)
	}
	if lost := regexp.MustCompile(`--partition (\d) --skip 1200-1450`).FindStringSubmatch(command); lost != nil {
		partition, _ := strconv.Atoi(lost[1])
		r.lose(int32(partition))
	}
	if strings.HasPrefix(command, "thalweg delete ") { // maybe again
		if out, code := r.shell.run("thalweg apply -f flights.yaml"); code != 0 {
			return out, fmt.Errorf("apply: exit code %d", code)
		}
	}
	if strings.HasPrefix(command, "thalweg runs cancel ") {
		id, _ := r.shell.run("thalweg runs start flight-delays -o json")
		command = "thalweg runs cancel " + regexp.MustCompile(`flight-delays-\d+-\d+`).FindString(id)
	}
	out, code := r.shell.run(command)
	if code != 0 && !strings.Contains(out, "conflict (it has ended: ") { // as a run can that is to be canceled
		return out, fmt.Errorf("exit code %d", code)
	}
	return out, nil
}

// endless matches the commands that run until they are stopped.
var endless = regexp.MustCompile(`^(bin/)?thalweg (dev|coordinator|worker)\b`)
