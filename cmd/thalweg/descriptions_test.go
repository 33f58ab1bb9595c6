package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// modulePath begins the paths of this module's packages.
const modulePath = "github.com/thalweg/thalweg/"

// descriptionsFile holds what the build knows of the comments in its own source.
var descriptionsFile = filepath.Join("..", "..", "pipeline", "descriptions.txt")

// checkDescriptions fails where the comments of the types and fields that a spec can have are
// others than those in descriptionsFile.
func checkDescriptions(t *testing.T) {
	t.Helper()
	types := map[reflect.Type]bool{}
	addTypes(types, reflect.TypeFor[pipeline.Spec]())
	for _, entries := range catalog.All() {
		for _, e := range entries {
			addTypes(types, reflect.TypeOf(e.Options))
		}
	}
	packages := map[string]map[string]string{}
	var lines []string
	for of := range types {
		path := of.PkgPath()
		if packages[path] == nil {
			packages[path] = comments(t, filepath.Join("..", "..", strings.TrimPrefix(path, modulePath)))
		}
		names := []string{of.Name() + "."}
		if of.Kind() == reflect.Struct {
			for i := range of.NumField() {
				names = append(names, of.Name()+"."+of.Field(i).Name)
			}
		}
		for _, name := range names {
			if text := packages[path][name]; text != "" {
				lines = append(lines, fmt.Sprintf("%s.%s\t%s\n", path, name, text))
			}
		}
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	is, err := os.ReadFile(descriptionsFile)
	if err == nil && string(is) == want {
		return
	}
	if *update {
		put(t, descriptionsFile, want)
	}
	t.Fatalf("%s is not current (%v), of which docs/reference is made: run make generate, or go test ./cmd/thalweg -run TestTheReferenceIsCurrent -update twice", descriptionsFile, err)
}

// addTypes adds the types of this module that a value of a type can have within it.
func addTypes(to map[reflect.Type]bool, of reflect.Type) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		addTypes(to, of.Elem())
	}
	if to[of] || !strings.HasPrefix(of.PkgPath(), modulePath) {
		return
	}
	to[of] = true
	if of.Kind() != reflect.Struct {
		return
	}
	for i := range of.NumField() {
		if f := of.Field(i); f.Tag.Get("yaml") != "" && f.Tag.Get("yaml") != "-" {
			addTypes(to, f.Type)
		}
	}
}

// comments returns the comments of the types of a package ("Split.") and of their fields
// ("Split.Column"), each on one line.
func comments(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	note := func(name string, c *ast.CommentGroup) {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			out[name] = text
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				of, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				note(of.Name.Name+".", g.Doc)
				s, ok := of.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range s.Fields.List {
					for _, field := range f.Names {
						note(of.Name.Name+"."+field.Name, f.Doc)
					}
				}
			}
		}
	}
	return out
}
