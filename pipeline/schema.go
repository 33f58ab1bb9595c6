package pipeline

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/thalweg/thalweg"
)

// descriptionsText holds the comments of the spec's types and of its fields, a line each: the
// name, a tab, the text. make generate writes it.
//
//go:embed descriptions.txt
var descriptionsText string

// JSONSchema returns the schema of a spec that chooses from a catalog, for
// editors, draft 2020-12: fields, types, values, ranges and descriptions. What
// only Parse checks are the rules between fields.
func JSONSchema(catalog Catalog) ([]byte, error) {
	described := descriptions()
	r := &jsonschema.Reflector{
		Anonymous:      true,
		ExpandedStruct: true,
		Mapper:         mapType,
		LookupComment: func(t reflect.Type, field string) string {
			return described[t.PkgPath()+"."+t.Name()+"."+field]
		},
		AdditionalFields: func(t reflect.Type) []reflect.StructField { return chosenFields(catalog, described, t) },
	}
	s := r.ReflectFromType(reflect.TypeFor[Spec]())
	s.ID, s.Title = "urn:thalweg:pipeline:v1", "Thalweg pipeline"
	// A step is one operator.
	one := uint64(1)
	s.Definitions["CleanStep"].MinProperties, s.Definitions["CleanStep"].MaxProperties = &one, &one
	delete(s.Definitions, "Choice")
	allowShort(s.Definitions["Crosses"])
	allowValue(s.Definitions["Threshold"], "value")
	allowValue(s.Definitions["OnBadRow"], "type")
	allowValue(s.Definitions["OnBadShard"], "type")
	for _, d := range s.Definitions {
		allowNull(d)
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSpace(out), '\n'), nil
}

// descriptions returns what the comments say of the types and fields of a spec, those of
// the catalog's entries too: "package.Type." and "package.Type.Field".
func descriptions() map[string]string {
	described := make(map[string]string)
	for line := range strings.Lines(descriptionsText) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		described[name] = text
	}
	return described
}

// chosenFields returns the fields of a struct that choose from a catalog, as they
// are once the catalog is known.
func chosenFields(catalog Catalog, described map[string]string, t reflect.Type) (out []reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		kind := Kind(f.Tag.Get("catalog"))
		if kind == "" {
			continue
		}
		if f.Tag.Get("yaml") == ",inline" {
			for _, e := range catalog[kind] {
				o := reflect.StructField{Name: e.Name, Type: reflect.TypeOf(e.Options), Tag: reflect.StructTag(fmt.Sprintf(`json:"%s,omitempty"`, e.Name))}
				if of := o.Type.Elem(); of.Kind() != reflect.Struct {
					o.Tag += reflect.StructTag(fmt.Sprintf(" jsonschema_description:%q", described[of.PkgPath()+"."+of.Name()+"."]))
				}
				out = append(out, o)
			}
			continue
		}
		names := fmt.Sprintf(`jsonschema:"enum=%s"`, strings.Join(catalog.names(kind), ",enum="))
		if f.Type != choiceType {
			f.Tag += reflect.StructTag(" " + names)
			out = append(out, f)
			continue
		}
		// Its fields are those of all entries; which goes with which, Parse checks.
		key := (&Choice{Key: f.Tag.Get("key")}).key()
		inner := []reflect.StructField{{Name: "Type", Type: reflect.TypeFor[string](), Tag: reflect.StructTag(fmt.Sprintf(`json:"%s,omitempty" %s`, key, names))}}
		for _, e := range catalog[kind] {
			inner = addOptions(inner, described, reflect.TypeOf(e.Options).Elem())
		}
		f.Type = reflect.StructOf(inner)
		out = append(out, f)
	}
	return out
}

// addOptions adds the fields of a struct, and of those inlined in it, that are not
// there.
func addOptions(to []reflect.StructField, described map[string]string, of reflect.Type) []reflect.StructField {
	for k := range of.NumField() {
		option := of.Field(k)
		if option.Anonymous && strings.HasSuffix(option.Tag.Get("yaml"), ",inline") {
			to = addOptions(to, described, option.Type)
		}
		if option.Anonymous || slices.ContainsFunc(to, func(f reflect.StructField) bool { return f.Name == option.Name }) {
			continue
		}
		option.Tag += reflect.StructTag(fmt.Sprintf(" jsonschema_description:%q", described[of.PkgPath()+"."+of.Name()+"."+option.Name]))
		to = append(to, option)
	}
	return to
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
	case reflect.TypeFor[Patterns]():
		text := &jsonschema.Schema{Type: "string"}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}, Examples: []any{"pixel_*"}}
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"200ms", "1m"}}
	case reflect.TypeFor[ByteSize]():
		return &jsonschema.Schema{Examples: []any{"8MiB"}, OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: `^[0-9]+ *([KMGT]i?)?B$`},
		}}
	case reflect.TypeFor[Count]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Minimum: "1"}, {Type: "string", Enum: []any{auto}}}}
	case reflect.TypeFor[Factor]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number", ExclusiveMinimum: "0"}, {Type: "string", Enum: []any{auto}}}}
	case reflect.TypeFor[ClassWeights]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Enum: []any{auto}},
			{Type: "object", AdditionalProperties: mapType(reflect.TypeFor[Factor]())}}}
	case reflect.TypeFor[WarmStart]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Minimum: "1"}, {Type: "string", Enum: []any{"none", thalweg.DefaultAlias}}}}
	case reflect.TypeFor[Limit]():
		return &jsonschema.Schema{Type: "string", Pattern: limitForm.String(), Examples: []any{"> 0.1%"}}
	case reflect.TypeFor[Percent]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?%$`, Examples: []any{"5%"}}
	}
	return nil
}

// allowNull lets a field that may hold the word null be YAML's null.
func allowNull(of *jsonschema.Schema) {
	for pair := of.Properties.Oldest(); pair != nil; pair = pair.Next() {
		if f := pair.Value; slices.Contains(f.Enum, any("null")) {
			pair.Value = &jsonschema.Schema{Description: f.Description, OneOf: []*jsonschema.Schema{{Type: "string", Enum: f.Enum}, {Type: "null"}}}
		}
	}
}

// allowShort lets the word pairs stand for all crosses, and a list of features for one.
func allowShort(crosses *jsonschema.Schema) {
	full, names := *crosses, &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}
	full.Description, full.Items = "", &jsonschema.Schema{OneOf: []*jsonschema.Schema{names, crosses.Items}}
	*crosses = jsonschema.Schema{Description: crosses.Description, OneOf: []*jsonschema.Schema{{Type: "string", Enum: []any{allPairs}}, &full}}
}

// allowValue lets the value of a field stand for a mapping.
func allowValue(of *jsonschema.Schema, field string) {
	full := *of
	value, _ := full.Properties.Get(field)
	full.Description = ""
	*of = jsonschema.Schema{Description: of.Description, OneOf: []*jsonschema.Schema{value, &full}}
}
