package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/credential"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Bounds of the text of a spec. Hand-written ones have a few KiB, and one with
// a thousand features, rendered, about 200. The YAML library's time grows with
// the square of the entries of one mapping, and its stack with the nesting.
const (
	MaxSpecBytes = 256 << 10
	MaxSpecLines = 16 << 10
	// maxNesting bounds how deep brackets and indentation nest; the format needs
	// about ten.
	maxNesting = 64
)

// Parse reads a spec that chooses from a catalog: YAML of one document,
// strictly. Unknown and repeated fields, wrong types, values that are not
// allowed, expressions that cannot be parsed and fields that this build cannot
// fulfil are reported at once, up to 100, as a *SpecError; file names the text in it and
// may be empty. The spec returned is valid and has every default filled in.
func Parse(catalog Catalog, file string, data []byte) (*Spec, error) {
	s, found := parse(catalog, file, data)
	if err := found.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// ParseAndCompile is Parse and Compile. Where nothing but expressions is wrong
// with the text, what is wrong with columns and types is reported with them.
func ParseAndCompile(catalog Catalog, file string, data []byte, input table.Schema) (*Plan, error) {
	s, found := parse(catalog, file, data)
	if len(found.list) > found.syntax || found.full() {
		return nil, found.err()
	}
	return Compile(s, input)
}

// Cite lets what Compile finds wrong with a rendered spec name places of the text
// that a user wrote it as, and that text's file. Where that has no place for a
// field, it is that of what the field is in.
func (s *Spec) Cite(file string, text []byte) {
	if written, _ := parse(s.catalog, file, text); len(written.source.values) > 0 {
		s.source = written.source
	}
}

// parse returns what it could read of a spec, and what is wrong with it.
func parse(catalog Catalog, file string, data []byte) (*Spec, *diagnostics) {
	s, found := parseEdited(catalog, file, data, nil)
	if s.Searches() && len(found.list) == 0 {
		s.checkCorners(data, found)
	}
	return s, found
}

// parseEdited is parse of the document that edit returns, unless it is nil.
func parseEdited(catalog Catalog, file string, data []byte, edit func(root ast.Node) (ast.Node, error)) (*Spec, *diagnostics) {
	s := &Spec{catalog: catalog, source: &source{file: file, values: make(map[string]position)}}
	found := &diagnostics{source: s.source, catalog: catalog, checkSyntax: true}
	data = WithoutMark(data)
	if found.credentials(data); len(found.list) > 0 {
		return s, found // what else is wrong might show them
	}
	if root := document(data, "spec", found); root != nil {
		s.source.lines = strings.Split(string(data), "\n")
		if edit != nil {
			var err error
			if root, err = edit(root); err != nil {
				found.add("", "", "%v", err)
				return s, found
			}
		}
		d := &decoder{source: s.source, found: found}
		d.value(root, "", reflect.ValueOf(s).Elem())
		if found.full() {
			return s, found
		}
		// A name that is wrong is no default of another.
		checkRules(reflect.ValueOf(&s.Metadata).Elem(), Place{path: "metadata", found: found})
		s.fillDefaults(found)
		checkRules(reflect.ValueOf(s).Elem(), Place{found: found})
	}
	return s, found
}

// credentials notes what looks like a credential in a text, comments included, since
// the text is stored and shown.
func (d *diagnostics) credentials(data []byte) {
	if len(data) > MaxSpecBytes {
		return // it is refused for that
	}
	text := string(data)
	for _, c := range credential.Find(text) {
		before := text[:c.Offset]
		line := strings.LastIndexByte(before, '\n') + 1
		d.addAt(position{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line:]) + 1}, "", thalweg.Invalid, credential.Hint,
			"here is "+c.What+", which has no place in a spec")
	}
}

// ParseAccepted is Parse of a spec that Parse has accepted: the specs of its trials are not
// tried again.
func ParseAccepted(catalog Catalog, file string, data []byte) (*Spec, error) {
	s, found := parseEdited(catalog, file, data, nil)
	if err := found.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// ParseWith is Parse of a spec with values put into it, and without its search: the spec of
// a trial. What is wrong with it has no place in the text.
func ParseWith(catalog Catalog, file string, data []byte, values Values) (*Spec, error) {
	s, found := parseWith(catalog, file, data, values)
	for i := range found.list {
		d := &found.list[i]
		d.File, d.Line, d.Column = "", 0, 0
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// parseWith is parse of a document with values in it and without a search.
func parseWith(catalog Catalog, file string, data []byte, values Values) (*Spec, *diagnostics) {
	return parseEdited(catalog, file, data, func(root ast.Node) (ast.Node, error) {
		root = without(root, "spec", "search")
		for _, path := range slices.Sorted(maps.Keys(values)) {
			value, err := nodeOf(values[path])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			root = assigned(root, append([]string{"spec"}, strings.Split(path, ".")...), value)
		}
		return root, nil
	})
}

// nodeOf reads a value on one line.
func nodeOf(text string) (ast.Node, error) {
	file, err := parser.ParseBytes([]byte("value: "+text+"\n"), 0)
	if err != nil || len(file.Docs) != 1 {
		return nil, fmt.Errorf("%s is no value", quoteShort(text))
	}
	values, ok := entries(file.Docs[0].Body)
	if !ok || len(values) != 1 {
		return nil, fmt.Errorf("%s is no value", quoteShort(text))
	}
	return values[0].Value, nil
}

// without removes a field from a document.
func without(n ast.Node, path ...string) ast.Node {
	values, _ := entries(n)
	for i, e := range values {
		if keyText(e) != path[0] {
			continue
		}
		if len(path) > 1 {
			e.Value = without(e.Value, path[1:]...)
		} else if m, ok := n.(*ast.MappingNode); ok {
			m.Values = slices.Delete(m.Values, i, i+1)
		} else {
			return ast.Null(n.GetToken())
		}
		return n
	}
	return n
}

func keyText(e *ast.MappingValueNode) string {
	if k, ok := e.Key.(*ast.StringNode); ok {
		return k.Value
	}
	return ""
}

// assigned returns a node with a value at a path: fields that are not there are added, and
// an item of a list is named by its name or its number. A path that leads nowhere is left
// for the decoder to refuse, under the name of the list.
func assigned(n ast.Node, path []string, value ast.Node) ast.Node {
	if len(path) == 0 {
		return value
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		for i, item := range list.Values {
			if path[0] == strconv.Itoa(i) || path[0] == nameOf(item) {
				list.Values[i] = assigned(item, path[1:], value)
				return n
			}
		}
		return value
	}
	values, ok := entries(n)
	if !ok {
		return value
	}
	for _, e := range values {
		if keyText(e) == path[0] {
			e.Value = assigned(e.Value, path[1:], value)
			return n
		}
	}
	added, err := nodeOf("{" + strconv.Quote(path[0]) + ": null}")
	if err != nil {
		return value
	}
	m := added.(*ast.MappingNode)
	m.Values[0].Value = assigned(m.Values[0].Value, path[1:], value)
	m.Values = append(slices.Clone(values), m.Values[0])
	if whole, ok := n.(*ast.MappingNode); ok {
		whole.Values = m.Values
		return whole
	}
	return m
}

// nameOf returns the name of an item of a list, or "".
func nameOf(n ast.Node) string {
	values, _ := entries(n)
	for _, e := range values {
		if text, ok := e.Value.(*ast.StringNode); ok && keyText(e) == "name" {
			return text.Value
		}
	}
	return ""
}

// DecodeFile reads a YAML file of another kind than a spec, called what, into
// the struct that into points at, as strictly: fields are those of the yaml tags,
// all problems are in the *SpecError, with their places and the nearest names.
// Values are not shown in it, since they may be secrets.
func DecodeFile(what, file string, data []byte, into any) error {
	at := &source{file: file, values: make(map[string]position)}
	found := &diagnostics{source: at}
	if root := document(WithoutMark(data), what, found); root != nil {
		(&decoder{source: at, found: found, secret: true}).value(root, "", reflect.ValueOf(into).Elem())
	}
	return found.err()
}

// ParseDatasetFormat reads a format of datasets outside of a spec: its name, or a mapping
// as sources.train.format has it.
func ParseDatasetFormat(catalog Catalog, text string) (Choice, error) {
	var of struct {
		Format Choice `yaml:"format" json:"format" catalog:"dataset_formats" refused:"json,avro"`
	}
	if text = strings.TrimSpace(text); !strings.HasPrefix(text, "{") {
		text = "{type: " + text + "}"
	}
	at := &source{values: make(map[string]position)}
	found := &diagnostics{source: at, catalog: catalog}
	if root := document([]byte("format: "+text), "format", found); root != nil {
		into := reflect.ValueOf(&of).Elem()
		(&decoder{source: at, found: found}).value(root, "", into)
		fillDefaults(into, Place{found: found})
		checkRules(into, Place{found: found})
	}
	return of.Format, found.err()
}

// WithoutMark returns a text from outside without the byte order mark that some
// editors put before UTF-8.
func WithoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\ufeff")) }

// document returns the root of the one YAML document of a text, which is called
// what, or nil and a diagnostic.
func document(data []byte, what string, found *diagnostics) (root ast.Node) {
	fail := func(at position, format string, args ...any) ast.Node {
		found.addAt(at, "", thalweg.Invalid, "", fmt.Sprintf(format, args...))
		return nil
	}
	switch {
	case len(data) > MaxSpecBytes:
		return fail(position{}, "the %s has %d bytes, at most %d are read", what, len(data), MaxSpecBytes)
	case bytes.Count(data, []byte{'\n'}) > MaxSpecLines:
		return fail(position{}, "the %s has more than %d lines", what, MaxSpecLines)
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return fail(position{}, "the %s is UTF-16: save it as UTF-8", what)
	case !utf8.Valid(data):
		return fail(position{}, "the %s is not valid UTF-8", what)
	case bytes.ContainsRune(data, 0):
		return fail(position{}, "the %s holds a null character", what)
	}
	if line := tooDeep(data); line > 0 {
		return fail(position{line: line, column: 1}, "the %s nests deeper than %d levels", what, maxNesting)
	}
	defer func() {
		// The library panics on some malformed texts.
		if r := recover(); r != nil {
			root = fail(position{}, "the %s cannot be read as YAML", what)
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			p := at.GetToken().Position
			if lines := bytes.Split(data, []byte("\n")); p.Line <= len(lines) && p.Column > 1 && p.Column-2 < len(lines[p.Line-1]) && lines[p.Line-1][p.Column-2] == '*' {
				return fail(position{p.Line, p.Column - 1}, `* begins an alias in YAML: put it in quotes, "*"`)
			}
			if strings.Contains(at.GetMessage(), "'\t'") {
				return fail(position{p.Line, p.Column}, "a tab is here: YAML is indented by blanks")
			}
			if strings.HasPrefix(at.GetMessage(), "'`'") {
				return fail(position{p.Line, p.Column}, "a value that begins with a backtick stands in quotes: expression: '`tail number` == \"N-12\"'")
			}
			return fail(position{p.Line, p.Column}, "%s", at.GetMessage())
		}
		return fail(position{}, "%v", err)
	}
	var documents []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			documents = append(documents, doc.Body)
		}
	}
	switch {
	case len(documents) == 0:
		return fail(position{}, "the %s is empty", what)
	case len(documents) > 1:
		return fail(positionOf(documents[1]), "a second document begins here: a file holds one %s", what)
	}
	return documents[0]
}

// tooDeep returns the first line at which the text may nest deeper than
// maxNesting, or 0. It counts brackets and dashes wherever they stand, in
// strings too, since what is a string only the parser knows.
func tooDeep(data []byte) (line int) {
	line = 1
	brackets, dashes, begun := 0, 0, false
	for _, c := range data {
		switch c {
		case '\n':
			line++
			dashes, begun = 0, false
			continue
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(brackets-1, 0)
		}
		// Dashes, question marks and blanks at the start of a line nest by themselves.
		if !begun && (c == '-' || c == '?' || c == ' ' || c == ':') {
			dashes++
		} else {
			begun = true
		}
		if brackets > maxNesting || dashes > 4*maxNesting {
			return line
		}
	}
	return 0
}

func positionOf(n ast.Node) position {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{1, 1}
}

// source is the text that a spec was read from: where each of its fields
// stands.
type source struct {
	file   string
	lines  []string
	values map[string]position
}

// position counts from 1, columns in characters.
type position struct{ line, column int }

// has reports whether the text sets the field at path.
func (s *source) has(path string) bool {
	_, ok := s.values[path]
	return ok
}

// position returns where the field at path, or else what it is in, stands.
func (s *source) position(path string) position {
	if at, ok := s.values[path]; ok {
		return at
	}
	for outer := range around(path) {
		if at, ok := s.values[outer]; ok && outer != "" {
			return at
		}
	}
	return position{line: 1, column: 1}
}

// inside returns the position of a character of the string at path: exact
// where the text has the string as it is on one line, else where it begins.
func (s *source) inside(path, value string, character int) position {
	at := s.position(path)
	if !s.has(path) || at.line > len(s.lines) {
		return at
	}
	line := s.lines[at.line-1]
	for range at.column - 1 {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	quote := 0
	if line != "" && (line[0] == '"' || line[0] == '\'') {
		quote = 1
	}
	if !strings.HasPrefix(line[quote:], value) {
		return at
	}
	return position{line: at.line, column: at.column + quote + character}
}
