package pipeline

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/credential"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// decoder puts YAML nodes into the fields of a spec, or of another document. It
// notes where each value stands, and goes on after each problem.
type decoder struct {
	source *source
	found  *diagnostics
	secret bool // values are not shown
}

// problem notes a diagnostic at a node.
func (d *decoder) problem(n ast.Node, path, hint, format string, args ...any) {
	d.found.addAt(positionOf(n), path, thalweg.Invalid, hint, fmt.Sprintf(format, args...))
}

// begin notes where the value of the field at path stands. It reports false
// where the node is of a kind that the format does not have.
func (d *decoder) begin(n ast.Node, path string) bool {
	switch n := n.(type) {
	case *ast.TagNode:
		d.problem(n, path, "", "tags such as %s have no meaning here", n.Start.Value)
		return false
	case *ast.AnchorNode, *ast.AliasNode:
		d.problem(n, path, "write the value out", "anchors and aliases are not part of the format")
		return false
	}
	d.source.values[path] = valuePosition(n)
	return true
}

// shortForm is a type that may stand in a spec as something shorter than it is.
type shortForm interface {
	// decodeShort reads the shorter form, and reports whether n is one.
	decodeShort(d *decoder, n ast.Node, path string) bool
}

// value decodes a node of the field at path.
func (d *decoder) value(n ast.Node, path string, into reflect.Value) {
	if !d.begin(n, path) {
		return
	}
	if s, ok := into.Addr().Interface().(shortForm); ok && s.decodeShort(d, n, path) {
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(n, path, into.Elem())
	case reflect.Struct:
		d.structure(n, path, into, into.Type().Name())
	case reflect.Map:
		d.names(n, path, into)
	case reflect.Slice:
		d.list(n, path, into)
	default:
		d.scalar(n, path, into)
	}
}

// valuePosition is positionOf, but of a mapping in braces or by indentation
// where it begins.
func valuePosition(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return positionOf(m.Values[0].Key)
	}
	return positionOf(n)
}

// entries returns the fields of a mapping; ok is false where n is none. No
// value at all is an empty mapping.
func entries(n ast.Node) (values []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	case *ast.NullNode:
		return nil, true
	}
	return nil, false
}

// key returns the name of a field.
func (d *decoder) key(e *ast.MappingValueNode, path string) (string, bool) {
	switch k := e.Key.(type) {
	case *ast.StringNode:
		if isNumber(k) {
			d.problem(k, path, "put it in quotes", "a field's name is a string")
			return "", false
		}
		return k.Value, true
	case *ast.MergeKeyNode:
		d.problem(k, path, "write the fields out", "merge keys are not part of the format")
	default:
		d.problem(e.Key, path, "put it in quotes", "a field's name is a string")
	}
	return "", false
}

// mapping yields the fields of a mapping by name, until there are too many
// diagnostics; what is none is a problem.
func (d *decoder) mapping(n ast.Node, path string) iter.Seq2[string, *ast.MappingValueNode] {
	return func(yield func(string, *ast.MappingValueNode) bool) {
		values, ok := entries(n)
		if !ok {
			d.wrong(n, path, "a mapping belongs here")
		}
		for _, e := range values {
			if d.found.full() {
				return
			}
			if name, ok := d.key(e, path); ok && !yield(name, e) {
				return
			}
		}
	}
}

// structure decodes a mapping. owner is the name of the struct in
// unsupportedFields, or the kind of a choice.
func (d *decoder) structure(n ast.Node, path string, into reflect.Value, owner string) {
	known := make(map[string]field)
	for _, f := range fields(into) {
		known[f.name] = f
	}
	for kind := range choices(into.Type()) {
		for _, name := range d.found.catalog.names(kind) {
			known[name] = field{name: name}
		}
	}
	seen := make(map[string]position)
	for name, e := range d.mapping(n, path) {
		at := join(path, name)
		if first, twice := seen[name]; twice {
			d.problem(e.Key, at, fmt.Sprintf("first on line %d", first.line), "the field appears twice")
			continue
		}
		seen[name] = positionOf(e.Key)
		f, ok := known[name]
		switch {
		case !ok:
			d.otherField(e, path, name, owner, known)
		case !f.value.IsValid():
			d.inlineChoice(e.Value, path, name, into)
		case isNull(e.Value) && slices.Contains(ruleOf(f.tag).enum, "null"):
			// on_error: null, where null is a word.
			d.source.values[at] = positionOf(e.Value)
			f.value.SetString("null")
		case isMapping(e.Value) && slices.Contains(ruleOf(f.tag).refused, "{}"):
			d.refuse(e.Value, at, "", "a rule")
		case reference(f) && !isMapping(e.Value):
			d.problem(e.Value, at, f.tag.Get("means"), "a mapping belongs here, not %s", d.shown(e.Value))
		case d.tooLong(e.Value, at, f):
		case f.value.Type() == choiceType:
			d.choice(e.Value, at, f.tag, f.value)
		default:
			d.value(e.Value, at, f.value)
		}
	}
}

// reference reports whether a field is a mapping that says where something is, so that
// whoever writes the thing itself is told what to write.
func reference(f field) bool {
	return f.value.Kind() == reflect.Pointer && f.value.Type().Elem().Kind() == reflect.Struct && f.tag.Get("means") != ""
}

// tooLong refuses a list of more items than its field may have, before they are decoded.
func (d *decoder) tooLong(n ast.Node, path string, f field) bool {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return false
	}
	r := ruleOf(f.tag)
	if r.maxItems <= r.minItems || len(list.Values) <= r.maxItems {
		return false
	}
	d.problem(n, path, "", tooManyItems, r.maxItems, len(list.Values))
	return true
}

// choice decodes the type and the options of an entry.
func (d *decoder) choice(n ast.Node, path string, tag reflect.StructTag, into reflect.Value) {
	if !d.begin(n, path) {
		return
	}
	kind, c := Kind(tag.Get("catalog")), into.Addr().Interface().(*Choice)
	c.Key = tag.Get("key")
	if text, ok := n.(*ast.StringNode); ok && text.Value != "" {
		d.problem(n, path, fmt.Sprintf("write {%s: %s}", c.key(), text.Value), "a mapping belongs here, not %s", d.shown(n))
		return
	}
	name := tag.Get("default")
	values, _ := entries(n)
	for _, e := range values {
		if text, ok := e.Value.(*ast.StringNode); ok && keyText(e) == c.key() {
			name = text.Value
		}
	}
	d.found.catalog.choose(kind, name, tag.Get("default"), c)
	d.structure(n, path, into, string(kind))
}

// inlineChoice decodes the options of an entry that the struct at path chooses
// by a field.
func (d *decoder) inlineChoice(n ast.Node, path, name string, into reflect.Value) {
	for kind, i := range choices(into.Type()) {
		entry, ok := d.found.catalog.find(kind, name)
		if !ok {
			continue
		}
		c := into.Field(i).Addr().Interface().(*Choice)
		if c.Options != nil && kind == Steps {
			d.found.add(path, "write each as a step of its own", "a step is one operator, not %s and %s", c.Name, name)
		} else if c.Options != nil {
			d.found.add(path, "", "only one of %s and %s can be there", c.Name, name)
		}
		*c = Choice{Name: name, Options: entry.new()}
		d.value(n, join(path, name), reflect.ValueOf(c.Options).Elem())
	}
}

// otherField treats a field that the struct does not have: one that the format
// has and this build does not, or none.
func (d *decoder) otherField(e *ast.MappingValueNode, path, name, owner string, known map[string]field) {
	at := join(path, name)
	if allowed, ok := unsupportedFields[owner][name]; ok {
		d.refused(e, at, allowed)
		return
	}
	if others := d.found.catalog.having(Kind(owner), name); len(others) > 0 {
		d.source.values[at] = positionOf(e.Value)
		of := strings.Join(others, " and ")
		if owner == string(EventFormats) {
			of += " events"
		}
		d.found.add(at, "", "the field belongs to %s", of)
		return
	}
	names := slices.Sorted(maps.Keys(known))
	hint := "known are " + strings.Join(names, ", ")
	if meant := spelling.Nearest(name, slices.Values(append(names, slices.Sorted(maps.Keys(unsupportedFields[owner]))...))); meant != "" {
		hint = "did you mean " + meant + "?"
		d.found.meant = append(d.found.meant, join(path, meant))
	}
	if !d.secret && credential.IsField(name) {
		d.problem(e.Key, at, credential.Hint, "credentials and addresses of servers have no place in a spec")
		return
	}
	d.problem(e.Key, at, hint, "there is no such field")
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

func isMapping(n ast.Node) bool {
	_, ok := entries(n)
	return ok && !isNull(n)
}

// join appends a field's name to a path; a name that could be mistaken is
// quoted.
func join(path, name string) string {
	if name == "" || strings.ContainsAny(name, ".[]\" \n") || len(name) > 64 {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// names decodes a map by strings. Where any value may stand, so may null.
func (d *decoder) names(n ast.Node, path string, into reflect.Value) {
	out := reflect.MakeMap(into.Type())
	for name, e := range d.mapping(n, path) {
		at, key := join(path, name), reflect.ValueOf(name)
		if out.MapIndex(key).IsValid() {
			d.problem(e.Key, at, "", "the name appears twice")
			continue
		}
		v := reflect.New(into.Type().Elem()).Elem()
		if d.source.values[at] = positionOf(e.Value); !isNull(e.Value) || v.Kind() != reflect.Interface {
			d.value(e.Value, at, v)
		}
		out.SetMapIndex(key, v)
	}
	if out.Len() > 0 {
		into.Set(out)
	}
}

func (d *decoder) list(n ast.Node, path string, into reflect.Value) {
	items, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(n, path, "a list belongs here")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(items.Values), len(items.Values)))
	for i, item := range items.Values {
		if d.found.full() {
			return
		}
		d.value(item, fmt.Sprintf("%s[%d]", path, i), into.Index(i))
	}
}
