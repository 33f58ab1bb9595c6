package pipeline

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/credential"
	"github.com/thalweg/thalweg/pipeline/document"
	"github.com/thalweg/thalweg/pipeline/table"
)

// MaxSpecBytes bounds the text of a spec.
const MaxSpecBytes = document.MaxBytes

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
	if root := parseDocument(data, "spec", found); root != nil {
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
	if root := parseDocument(WithoutMark(data), what, found); root != nil {
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
	if root := parseDocument([]byte("format: "+text), "format", found); root != nil {
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

// parseDocument returns the root of the one YAML document of a text, which is called
// what, or nil and a diagnostic.
func parseDocument(data []byte, what string, found *diagnostics) ast.Node {
	root, flaw := document.Parse(what, data)
	if flaw != nil {
		found.addAt(position{flaw.Line, flaw.Column}, "", thalweg.Invalid, "", flaw.Message)
	}
	return root
}

func positionOf(n ast.Node) position {
	line, column := document.Position(n)
	return position{line, column}
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
