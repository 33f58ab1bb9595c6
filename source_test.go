package thalweg_test

import (
	"bytes"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

// modulePath is the path of this module; the root package has it too.
const modulePath = "github.com/thalweg/thalweg"

// sourceFile is one Go file of the module, whatever its build constraints.
type sourceFile struct {
	path      string // relative to the root, with slashes
	dir       string // of the package; "." is the root
	test      bool
	generated bool
	lines     int
	ast       *ast.File
	positions *token.FileSet
}

// at returns the place of a node as file:line.
func (f *sourceFile) at(n ast.Node) string {
	return f.path + ":" + strconv.Itoa(f.positions.Position(n.Pos()).Line)
}

// imports returns the import paths of the file.
func (f *sourceFile) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// tag reports whether the file is compiled with the build tag only.
func (f *sourceFile) tag(name string) bool {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) {
				x, err := constraint.Parse(c.Text)
				return err == nil && !x.Eval(func(tag string) bool { return tag != name })
			}
		}
	}
	return false
}

// sources parses every Go file of the module. It reads the files itself, not by
// way of `go list`, so that files behind build tags count too and the test
// cache knows what the result depends on.
func sources(t *testing.T) []*sourceFile {
	t.Helper()
	var files []*sourceFile
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		switch {
		case d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, &sourceFile{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(parsed),
			lines: bytes.Count(text, []byte("\n")), ast: parsed, positions: positions,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// designs returns the paths of all DESIGN.md.
func designs(t *testing.T) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.Name() == "DESIGN.md":
			paths = append(paths, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
