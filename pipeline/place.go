package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Place is where a struct of options stands in a spec.
type Place struct {
	path  string
	found *diagnostics
}

// in returns the place of a field.
func (p Place) in(field string) Place { return Place{p.at(field), p.found} }

// item returns the place of an item of the list at p.
func (p Place) item(i int) Place { return Place{fmt.Sprintf("%s[%d]", p.path, i), p.found} }

// Omits reports whether the text does not set the field.
func (p Place) Omits(field string) bool { return !p.found.source.has(p.at(field)) }

// Beside returns the names of the other fields that the text sets beside one.
func (p Place) Beside(field string) (names []string) {
	for path := range p.found.source.values {
		name, ok := strings.CutPrefix(path, p.at("")+".")
		if ok && name != field && !strings.ContainsAny(name, ".[") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Problem notes what is wrong with a field ("columns[2]"; "" is the struct
// itself), and what can be done about it, unless something has been noted about
// the field already.
func (p Place) Problem(field, hint, format string, args ...any) {
	if path := p.at(field); !p.found.covers(path) {
		p.found.add(path, hint, format, args...)
	}
}

// Unsupported notes a wish that the format knows and this build cannot fulfil.
func (p Place) Unsupported(field, hint, what string) {
	if path := p.at(field); !p.found.covers(path) {
		p.found.refuse(path, hint, what)
	}
}

func (p Place) at(field string) string {
	switch {
	case field == "":
		return p.path
	case p.path == "":
		return field
	}
	return p.path + "." + field
}

// ColumnName refuses a name that scoring may add to a row: those that begin
// with _.
func (p Place) ColumnName(field, name string) {
	if len(name) > 0 && name[0] == '_' {
		p.Problem(field, "", "%q is not allowed: names that begin with _ are Thalweg's own", name)
	}
}

// Complete returns a copy of an entry's options with their defaults, and reports
// what is wrong with it.
func Complete(options any) (any, error) {
	out := reflect.New(reflect.TypeOf(options).Elem())
	out.Elem().Set(reflect.ValueOf(options).Elem())
	at := Place{found: &diagnostics{source: new(source)}}
	fillDefaults(out, at)
	checkRules(out, at)
	return out.Interface(), at.found.err()
}

// Default gives *at the value unless it has one, or the text says that it has
// none.
func Default[T comparable](p Place, field string, at *T, value T) {
	var zero T
	if *at == zero && p.Omits(field) {
		*at = value
	}
}

// DefaultList does the same for a list.
func DefaultList[T any](p Place, field string, at *[]T, values ...T) {
	if len(*at) == 0 && p.Omits(field) {
		*at = values
	}
}
