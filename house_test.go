package thalweg_test

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxFileLines is where a file has become two. Generated ones are as long as
// they are.
const maxFileLines = 600

func TestFilesStayShort(t *testing.T) {
	for _, f := range sources(t) {
		if !f.generated && f.lines > maxFileLines {
			t.Errorf("%s has %d lines, the bound is %d: split it by concern", f.path, f.lines, maxFileLines)
		}
	}
}

// maxPackageFiles is where a package holds several concerns, each of which wants
// a package of its own. Tests are not counted.
const maxPackageFiles = 30

// catalogs are the packages with one file for each thing of a kind, as many as
// there are things.
var catalogs = []string{"pipeline/clean"}

func TestPackagesStaySmall(t *testing.T) {
	files := map[string]int{}
	for _, f := range sources(t) {
		if !f.test && !f.generated {
			files[f.dir]++
		}
	}
	for dir, n := range files {
		if n > maxPackageFiles && !slices.Contains(catalogs, dir) {
			t.Errorf("package %s has %d files, the bound is %d: give each of its concerns a package", dir, n, maxPackageFiles)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	says := map[string]bool{}
	for _, f := range sources(t) {
		doc, name := f.ast.Doc.Text(), f.ast.Name.Name
		ok := strings.HasPrefix(doc, "Package "+name) || name == "main" && strings.HasPrefix(doc, "Command ") || f.generated
		says[f.dir] = says[f.dir] || ok
	}
	for dir, ok := range says {
		if !ok {
			t.Errorf("package %s has no package comment (// Package … or // Command …)", dir)
		}
	}
}

func TestNothingHappensAtImport(t *testing.T) {
	// Both give the binary data, and nothing else.
	data := map[string]bool{`"embed"`: true, `"time/tzdata"`: true}
	for _, f := range sources(t) {
		if f.generated {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: an init function: make it a table or call it from where it is needed", f.at(fn))
			}
		}
		for _, spec := range f.ast.Imports {
			if spec.Name != nil && spec.Name.Name == "_" && !data[spec.Path.Value] {
				t.Errorf("%s: a blank import registers something out of sight", f.at(spec))
			}
		}
	}
}

// maxDesignColumns is how wide a DESIGN.md is, counted in bytes as some tools do.
const maxDesignColumns = 100

// TestDesignsBeginWithHowItWorks, in lines that a diff shows well. Tables are as
// wide as they are.
func TestDesignsBeginWithHowItWorks(t *testing.T) {
	beginnings := []string{"## How it works", "## The way of an event"}
	for _, name := range designs(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fenced, begun := false, false
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				fenced = !fenced
			case !strings.HasPrefix(line, "|") && len(line) > maxDesignColumns:
				t.Errorf("%s:%d has %d bytes, the bound is %d", name, i+1, len(line), maxDesignColumns)
			case !fenced && !begun && strings.HasPrefix(line, "## "):
				if begun = true; !slices.Contains(beginnings, line) {
					t.Errorf("%s:%d begins with %q: begin with a page for somebody new, %q", name, i+1, line, beginnings[0])
				}
			}
		}
		if !begun {
			t.Errorf("%s has no part %q", name, beginnings[0])
		}
	}
}

// quoted is what a document shows as code. place and symbol are the parts of it
// that look like a path from the root and like a Go name of mixed case.
var (
	quoted = regexp.MustCompile("`([^`\n]+)`")
	place  = regexp.MustCompile(`^((?:cmd|connectors|coordinator|deploy|integration|pipeline|retry|storage|tools|worker)(?:/[\w-]+)+(?:\.[a-z]+)?)(?:\.([A-Z]\w*))?$`)
	symbol = regexp.MustCompile(`^\*?([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)(?:\(.*\))?$`)
	mixed  = regexp.MustCompile(`[a-z][A-Z]|^[A-Z][a-z]|\.[A-Z]`)
)

// foreign are names of other programs and formats.
var foreign = []string{"NoSuchMethodError", "basePath", "commitInfo", "ignoreChanges", "logicalType", "txnId"}

// TestDocumentsNameOnlyWhatExists: what they call by a name of Go has that name
// in the code, and paths lead to something.
func TestDocumentsNameOnlyWhatExists(t *testing.T) {
	known := map[string]bool{}
	for _, name := range foreign {
		known[name] = true
	}
	for _, f := range sources(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				known[name.Name] = true
			}
			return true
		})
	}
	for _, document := range append(designs(t), "README.md", "STREAMS.md", "CONTRIBUTING.md", "docs/guarantees.md", "docs/threat-model.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range quoted.FindAllStringSubmatch(string(text), -1) {
			names := ""
			if at := place.FindStringSubmatch(q[1]); at != nil {
				if names = at[2]; !exists(at[1]) {
					t.Errorf("%s names %s, which does not exist", document, at[1])
				}
			} else if s := symbol.FindStringSubmatch(q[1]); s != nil && mixed.MatchString(s[1]) {
				names = s[1]
			}
			for name := range strings.SplitSeq(names, ".") {
				if name != "" && !known[name] {
					t.Errorf("%s names %s, and nothing in the code is called %s", document, q[1], name)
				}
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestFoldersAreNamedForWhatTheyDo(t *testing.T) {
	forbidden := []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "shared", "lib"}
	for _, f := range sources(t) {
		for _, segment := range strings.Split(f.dir, "/") {
			if slices.Contains(forbidden, segment) {
				t.Errorf("%s: a folder named %q says nothing: a helper lives with its caller until it has a second one", f.path, segment)
			}
		}
	}
}

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		virtual := slices.Contains(f.imports(), "testing/synctest") // where sleeping takes no time
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch {
			case !virtual && isCall(n, "time", "Sleep"):
				t.Errorf("%s: time.Sleep in a test: wait for the fact, or use testing/synctest", f.at(n))
			case isCall(n, "t", "Skip"), isCall(n, "t", "Skipf"), isCall(n, "t", "SkipNow"):
				t.Errorf("%s: a test that skips says nothing: let it fail with what is missing", f.at(n))
			}
			return true
		})
	}
}

// pure lists the packages that are functions of their arguments: neither clock
// nor randomness nor I/O may reach them, or replicas would differ.
var pure = []string{"coordinator/state", "coordinator/schedule"}

func TestReplicatedStateIsPure(t *testing.T) {
	impure := []string{"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "log/slog", "log", "io/ioutil", "syscall"}
	for _, f := range sources(t) {
		if f.test || !slices.Contains(pure, f.dir) {
			continue
		}
		for _, p := range f.imports() {
			if slices.Contains(impure, p) {
				t.Errorf("%s imports %s: %s has to be a function of its arguments", f.path, p, f.dir)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			for _, name := range []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"} {
				if isCall(n, "time", name) {
					t.Errorf("%s: time.%s: the time comes with the entry or the call", f.at(n), name)
				}
			}
			return true
		})
	}
}

// isCall reports whether n is a call pkg.name(…).
func isCall(n ast.Node, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	base, ok := selector.X.(*ast.Ident)
	return ok && base.Name == pkg
}
