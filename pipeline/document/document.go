// Package document reads one YAML document of a text from outside. What would cost the YAML
// library more than a spec needs is refused before the library sees it.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a text. Specs written by hand have a few KiB, and one with a thousand features,
// rendered, about 200.
const (
	MaxBytes = 256 << 10
	MaxLines = 16 << 10
	// maxNesting bounds how deep brackets and indentation nest, as the library's stack does;
	// the format needs about ten.
	maxNesting = 64
	// maxCost bounds what the library makes of the text, in units of some 340 bytes: 16 MiB. A
	// spec of a thousand features has 20,000 if each has its name and type, and not more than is
	// here with all defaults written out.
	maxCost = 46 << 10
	// What stands for nodes of the library costs, in these units: a field with its value, an item
	// with its comma or its dash, and a pair of brackets. A comma within braces is beside a field.
	fieldCost, itemCost, bracketCost, commaCost = 5, 4, 2, 2
	// nestedCost is that of a dash behind another in its line, by which each line begins lists
	// in lists: no spec has any.
	nestedCost = 12
	// maxCopied bounds the entries of mappings that are written in lines, for which the
	// library copies at each entry those behind it: 8 MiB, or one mapping of 1,400.
	maxCopied = 1 << 20
	// maxScalar bounds one text: the longest are what a pattern puts in, and expressions have
	// 4 KiB.
	maxScalar = 64 << 10
	// maxPaths bounds the paths that the library writes for all nodes, in bytes: those of a
	// spec with a thousand features are 1 MiB.
	maxPaths = 4 << 20
)

// Problem is why a text is not read. Line and Column count from 1; 0 where the text as a whole
// is meant.
type Problem struct {
	Line, Column int
	Message      string
}

func problem(line, column int, format string, args ...any) *Problem {
	return &Problem{line, column, fmt.Sprintf(format, args...)}
}

// Parse returns the root of the one document of a text, which the problem calls what.
func Parse(what string, data []byte) (root ast.Node, flaw *Problem) {
	if flaw = Excess(what, data); flaw != nil {
		return nil, flaw
	}
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return nil, problem(0, 0, "the %s is UTF-16: save it as UTF-8", what)
	case !utf8.Valid(data):
		return nil, problem(0, 0, "the %s is not valid UTF-8", what)
	case bytes.ContainsRune(data, 0):
		return nil, problem(0, 0, "the %s holds a null character", what)
	}
	defer func() {
		// The library panics on some malformed texts.
		if r := recover(); r != nil {
			root, flaw = nil, problem(0, 0, "the %s cannot be read as YAML", what)
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if flaw = tooLong(what, tokens); flaw != nil {
		return nil, flaw
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, explained(data, err)
	}
	var documents []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			documents = append(documents, doc.Body)
		}
	}
	switch {
	case len(documents) == 0:
		return nil, problem(0, 0, "the %s is empty", what)
	case len(documents) > 1:
		line, column := Position(documents[1])
		return nil, problem(line, column, "a second document begins here: a file holds one %s", what)
	}
	return documents[0], nil
}

// Position returns where a node stands.
func Position(n ast.Node) (line, column int) {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}

// explained says what the library found wrong, in words for somebody who does not know YAML.
func explained(data []byte, err error) *Problem {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		return problem(0, 0, "%v", err)
	}
	p := at.GetToken().Position
	lines := bytes.Split(data, []byte("\n"))
	switch {
	case p.Line <= len(lines) && p.Column > 1 && p.Column-2 < len(lines[p.Line-1]) && lines[p.Line-1][p.Column-2] == '*':
		return problem(p.Line, p.Column-1, `* begins an alias in YAML: put it in quotes, "*"`)
	case strings.Contains(at.GetMessage(), "'\t'"):
		return problem(p.Line, p.Column, "a tab is here: YAML is indented by blanks")
	case strings.HasPrefix(at.GetMessage(), "'`'"):
		return problem(p.Line, p.Column, "a value that begins with a backtick stands in quotes: expression: '`tail number` == \"N-12\"'")
	}
	return problem(p.Line, p.Column, "%s", at.GetMessage())
}

// Excess says by which of the bounds a text is too large, as far as its bytes alone tell; nil: by
// none. Brackets and the like count wherever they stand, in strings too, since what is a string
// only the library knows.
func Excess(what string, data []byte) *Problem {
	if len(data) > MaxBytes {
		return problem(0, 0, "the %s has %d bytes, at most %d are read", what, len(data), MaxBytes)
	}
	s := scan{line: 1}
	for i, c := range data {
		next := byte('\n')
		if i+1 < len(data) {
			next = data[i+1]
		}
		s.take(c, next)
		switch {
		case s.line > MaxLines+1:
			return problem(0, 0, "the %s has more than %d lines", what, MaxLines)
		case s.brackets > maxNesting || s.column > 4*maxNesting:
			return problem(s.line, 1, "the %s nests deeper than %d levels", what, maxNesting)
		case s.cost > maxCost:
			return problem(s.line, 1, "the %s has more than some %d fields and values, which is too many", what, maxCost/fieldCost)
		case s.copied > maxCopied:
			return problem(s.line, 1, "the %s has too many fields in one mapping", what)
		}
	}
	return nil
}

// scan is what the bytes of a text so far amount to.
type scan struct {
	line, brackets, cost int
	braces               uint64 // which of the brackets that are open are braces, the innermost first
	begun                bool   // the line has more than what nests by itself
	nested               bool   // the line has a dash
	value                bool   // the field that is open in braces has one
	// column is how deep the line is by blanks, dashes and question marks.
	column  int
	entries [4*maxNesting + 2]int // of the mapping that is open at a column
	copied  int
}

func (s *scan) take(c, next byte) {
	blank := next == ' ' || next == '\n' || next == '\r' || next == '\t'
	switch c {
	case '\n':
		s.line++
		s.begun, s.nested, s.column = false, false, 0
		return
	case '\r':
		if next != '\n' {
			s.take('\n', next)
		}
		return
	case '[', '{':
		s.brackets++
		s.cost += bracketCost
		s.braces <<= 1
		if c == '{' {
			s.braces |= 1
		}
	case ']', '}':
		s.brackets = max(s.brackets-1, 0)
		s.cost += bracketCost
		s.braces >>= 1
	case ':':
		s.cost += fieldCost
	case ',':
		switch {
		case s.braces&1 == 0:
			s.cost += itemCost
		case s.value:
			s.cost += commaCost
		default: // a name alone
			s.cost += fieldCost
		}
	case '#':
		s.cost++
	case '&', '*', '!': // with a name
		s.cost += 3
	case '"', '\'': // of two
		s.cost++
	case '-':
		switch {
		case blank && s.nested && !s.begun:
			s.cost += nestedCost
		case blank:
			s.cost += itemCost
		}
	}
	switch c {
	case ':', '}', ']':
		s.value = true
	case ',', '{':
		s.value = false
	}
	if s.begun {
		return
	}
	// Dashes, question marks and blanks at the start of a line nest by themselves.
	if c == '-' && blank || c == '?' && blank || c == ' ' || c == ':' {
		s.nested = s.nested || c == '-'
		if s.column++; c != ' ' && s.column < len(s.entries) {
			clear(s.entries[s.column:]) // a new item
		}
		return
	}
	s.begun = true
	if s.column < len(s.entries)-1 && c != '#' {
		clear(s.entries[s.column+1:])
		if strings.IndexByte("{}[]", c) < 0 { // brackets begin no entry, as in JSON that is indented
			s.entries[s.column]++
			s.copied += s.entries[s.column]
		}
	}
}

// tooLong refuses texts, and names of fields, that are longer than any needs: the library writes
// for each node the names of all that it is in.
func tooLong(what string, tokens token.Tokens) *Problem {
	longest := make(map[int]int) // name of a field, by its column or, negative, its bracket
	path, depth := 0, 0
	for i, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.MappingKeyType:
			return problem(t.Position.Line, t.Position.Column, "a question mark begins a field's name in YAML: write the name, a colon and the value")
		case token.MappingValueType:
			if i == 0 {
				continue
			}
			name := tokens[i-1]
			at := name.Position.Column
			if depth > 0 {
				at = -depth
			}
			if more := len(name.Value) - longest[at]; more > 0 {
				path += more
				longest[at] += more
			}
		}
		if len(t.Value) > maxScalar {
			return problem(t.Position.Line, t.Position.Column, "a text has %d bytes, at most %d are read", len(t.Value), maxScalar)
		}
	}
	if path*len(tokens)/3 > maxPaths {
		return problem(0, 0, "the %s has too long names for so many fields", what)
	}
	return nil
}
