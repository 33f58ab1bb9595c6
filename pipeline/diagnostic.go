package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/pattern"
)

// maxDiagnostics is how many diagnostics end the reading of a spec: more help
// nobody.
const maxDiagnostics = 100

// maxDiagnosticBytes bounds what one diagnostic quotes of the text, which may be kilobytes
// without a blank.
const maxDiagnosticBytes = 1 << 10

// Diagnostic is one thing that is wrong with a spec.
type Diagnostic struct {
	File string `json:"file,omitempty"`
	// Line and Column count from 1, columns in characters; 0 where the text as a
	// whole is meant.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path names the field: spec.input_features[3].expression.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Hint says what can be done about it, or is empty.
	Hint string `json:"hint,omitempty"`
	// Kind is thalweg.Unsupported for a valid wish that this build cannot
	// fulfil, else thalweg.Invalid.
	Kind thalweg.Kind `json:"-"`
}

// String returns file:line:column: path: message (hint).
func (d Diagnostic) String() string {
	var b strings.Builder
	if d.File != "" {
		b.WriteString(d.File + ":")
	}
	if d.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", d.Line, d.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	b.WriteString(d.Message)
	if d.Hint != "" {
		b.WriteString(" (" + d.Hint + ")")
	}
	return b.String()
}

// SpecError is everything that is wrong with a spec, in the order of its text.
// Its kind, as thalweg.KindOf tells it, is Unsupported where each diagnostic
// is, else Invalid.
type SpecError struct {
	Diagnostics []Diagnostic
	// More says that there were so many that the rest was not looked at.
	More bool
}

// Error returns one line per diagnostic.
func (e *SpecError) Error() string {
	lines := make([]string, 0, len(e.Diagnostics)+1)
	for _, d := range e.Diagnostics {
		lines = append(lines, d.String())
	}
	if e.More {
		lines = append(lines, "reading stopped here: mend these first")
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind.
func (e *SpecError) Unwrap() error {
	kind := thalweg.Unsupported
	for _, d := range e.Diagnostics {
		if d.Kind != thalweg.Unsupported {
			kind = thalweg.Invalid
		}
	}
	return &thalweg.Error{Op: "read spec", Kind: kind}
}

// diagnostics collects what is wrong with one spec.
type diagnostics struct {
	catalog Catalog
	source  *source
	list    []Diagnostic
	// noted has the paths of list, true, and all that these are in, false.
	noted map[string]bool
	// meant are fields that the text has under a name which is not known: they are
	// not missing too.
	meant []string
	// checkSyntax says that expressions are not compiled after this, so that their
	// syntax is checked now; syntax counts the diagnostics that come of it.
	checkSyntax bool
	syntax      int
	// patterns is the size of the regular expressions so far.
	patterns int
}

// maxPatternSize bounds the regular expressions of a spec together, in instructions: some
// 8 MiB while they are compiled. A usual one has 20.
const maxPatternSize = 32 << 10

// pattern counts a regular expression of the field at path; false after a diagnostic.
func (d *diagnostics) pattern(path string, size int) bool {
	if d.patterns += size; d.patterns <= maxPatternSize || size == 0 {
		return true
	}
	d.add(path, "write smaller counts, or fewer patterns", "the patterns of the spec are too large together")
	return false
}

// add notes a problem of the field at path.
func (d *diagnostics) add(path, hint, format string, args ...any) {
	d.addAt(d.source.position(path), path, thalweg.Invalid, hint, fmt.Sprintf(format, args...))
}

// refuse notes a wish that this build cannot fulfil: what the field at path
// says, or the field itself where what is "".
func (d *diagnostics) refuse(path, hint, what string) {
	if what != "" {
		what += ": "
	}
	d.addAt(d.source.position(path), path, thalweg.Unsupported, hint, what+"not supported")
}

// full reports whether there are so many diagnostics that no more are looked for.
func (d *diagnostics) full() bool { return len(d.list) >= maxDiagnostics }

func (d *diagnostics) addAt(at position, path string, kind thalweg.Kind, hint, message string) {
	if d.full() {
		return
	}
	if d.noted == nil {
		d.noted = make(map[string]bool)
	}
	for outer := range around(path) {
		if !d.noted[outer] {
			d.noted[outer] = false
		}
	}
	d.noted[path] = true
	d.list = append(d.list, Diagnostic{File: d.source.file, Line: at.line, Column: at.column, Path: clipped(path),
		Message: clipped(message), Hint: clipped(hint), Kind: kind})
}

// clipped is a text without the middle of what would fill a screen.
func clipped(text string) string {
	if len(text) <= maxDiagnosticBytes {
		return text
	}
	const half = maxDiagnosticBytes / 2
	return strings.ToValidUTF8(text[:half], "") + " … " + strings.ToValidUTF8(text[len(text)-half:], "")
}

// addExpression notes what is wrong with the expression at path, where it is.
func (d *diagnostics) addExpression(path, text string, err error) {
	var p *expression.Problem
	if !errors.As(err, &p) {
		d.add(path, "", "%v", err)
		return
	}
	d.addAt(d.source.inside(path, text, p.Offset), path, thalweg.Invalid, p.Hint, p.Message)
}

// covers reports whether there is a diagnostic of path, of something in it or
// of something that it is in: then its value is not what the user wrote.
func (d *diagnostics) covers(path string) bool {
	if _, ok := d.noted[path]; ok || len(d.list) == 0 {
		return ok
	}
	for outer := range around(path) {
		if d.noted[outer] {
			return true
		}
	}
	return false
}

// around yields what the field at path is in, from the inside out; the root is
// "".
func around(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path != "" {
			path = path[:max(strings.LastIndexAny(path, ".["), 0)]
			if !yield(path) {
				return
			}
		}
	}
}

// err returns the diagnostics as an error, nil where there are none.
func (d *diagnostics) err() error {
	if len(d.list) == 0 {
		return nil
	}
	more := d.full()
	slices.SortStableFunc(d.list, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &SpecError{Diagnostics: slices.Compact(d.list), More: more}
}

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

// Pattern returns the regular expression that a field holds; nil after a problem.
func (p Place) Pattern(field, text string) *regexp.Regexp {
	if p.found.patterns > maxPatternSize {
		return nil // as has been noted
	}
	re, size, err := pattern.Compile(text)
	if err != nil {
		p.Problem(field, "", "not a regular expression: %v", err)
		return nil
	}
	if path := p.at(field); p.found.covers(path) || !p.found.pattern(path, size) {
		return nil
	}
	return re
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
