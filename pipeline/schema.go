package pipeline

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// The comments of the spec's types are the descriptions of its fields.
var (
	//go:embed spec.go
	specSource string
	//go:embed spec_types.go
	specTypesSource string
)

// JSONSchema returns the schema of a spec for editors, draft 2020-12: fields,
// types, values, ranges and descriptions. What only Parse checks are the rules
// between fields.
func JSONSchema() ([]byte, error) {
	described, err := comments(specSource, specTypesSource)
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{
		Anonymous:      true,
		ExpandedStruct: true,
		Mapper:         mapType,
		LookupComment: func(t reflect.Type, field string) string {
			return described[t.Name()+"."+field]
		},
	}
	s := r.ReflectFromType(reflect.TypeFor[Spec]())
	s.ID, s.Title = "urn:thalweg:pipeline:v1", "Thalweg pipeline"
	// A step is one operator.
	one := uint64(1)
	s.Definitions["CleanStep"].MinProperties, s.Definitions["CleanStep"].MaxProperties = &one, &one
	allowNull(s.Definitions["CastStep"], "on_error")
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSpace(out), '\n'), nil
}

// mapType describes types that are not what they look like to reflection.
func mapType(t reflect.Type) *jsonschema.Schema {
	if values, ok := typeValues[t]; ok {
		s := &jsonschema.Schema{Type: "string"}
		for _, v := range values {
			s.Enum = append(s.Enum, v)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"200ms", "1m"}}
	case reflect.TypeFor[ByteSize]():
		return &jsonschema.Schema{Examples: []any{"8MiB"}, OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: `^[0-9]+ *([KMGT]i?)?B$`},
		}}
	case reflect.TypeFor[Percent]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?%$`, Examples: []any{"5%"}}
	}
	return nil
}

// allowNull lets a field whose value may be the word null be YAML's null.
func allowNull(of *jsonschema.Schema, name string) {
	field, ok := of.Properties.Get(name)
	if !ok {
		return
	}
	plain := *field
	of.Properties.Set(name, &jsonschema.Schema{Description: plain.Description, OneOf: []*jsonschema.Schema{
		{Type: "string", Enum: plain.Enum}, {Type: "null"},
	}})
}

// comments returns the comments of struct types ("Split.") and of their fields
// ("Split.Column") in Go sources.
func comments(sources ...string) (map[string]string, error) {
	out := make(map[string]string)
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read comments: %w", err)
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				out[t.Name.Name+"."] = text(g.Doc)
				if s, ok := t.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							out[t.Name.Name+"."+name.Name] = text(f.Doc)
						}
					}
				}
			}
		}
	}
	return out, nil
}

// text is a comment on one line.
func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
