package expression

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/thalweg/thalweg"
)

// Bounds of an expression. They are far above what people write, and keep the
// recursion of parsing and the columns held at once small.
const (
	MaxSource = 4096 // bytes of text
	MaxNodes  = 512  // operators, operands and calls
)

// parse returns the tree of the text. The library's parser cannot fail other
// than by an error; that none of its panics gets out is belt and braces for
// text from outside.
func parse(source string) (root ast.Node, problem *Problem) {
	switch {
	case len(source) > MaxSource:
		return nil, &Problem{Message: "the expression is too long", Hint: "at most 4096 bytes", kind: thalweg.Exhausted}
	case strings.TrimSpace(source) == "":
		return nil, &Problem{Message: "the expression is empty"}
	case !utf8.ValidString(source):
		return nil, &Problem{Message: "the expression is not valid UTF-8"}
	}
	if i := strings.Index(unquoted(source), "//"); i >= 0 {
		return nil, &Problem{Offset: utf8.RuneCountInString(source[:i]), Message: "// does not belong here", syntax: true,
			nearest: "a whole quotient is int(floor(a / b)); there are no comments"}
	}
	defer func() {
		if r := recover(); r != nil {
			root, problem = nil, &Problem{Message: "the expression cannot be parsed"}
		}
	}()
	// The parser knows the builtins by itself, so their table is left out: it is 13 KiB.
	tree, err := parser.ParseWithConfig(source, &conf.Config{MaxNodes: MaxNodes, DisableIfOperator: true})
	if err == nil {
		return tree.Node, nil
	}
	p := &Problem{Message: err.Error(), syntax: true}
	var at *file.Error
	if errors.As(err, &at) {
		p.Offset, p.Message = at.From, at.Message
	}
	switch token, char := unexpected.FindStringSubmatch(p.Message), unrecognized.FindStringSubmatch(p.Message); {
	case strings.Contains(p.Message, "maximum allowed nodes"):
		p.kind, p.Message, p.Hint = thalweg.Exhausted, "the expression is too large", "at most 512 operators, operands and calls"
	case strings.HasPrefix(p.Message, "unexpected token EOF"), p.Message == "unexpected end of expression":
		p.Message = "the expression ends where something is missing"
	case token != nil:
		text, err := strconv.Unquote(token[1])
		if p.Message = text + " does not belong here"; err != nil {
			p.Message = token[1] + " does not belong here"
		}
	case char != nil:
		p.Message = char[1] + " does not belong here"
	case strings.HasPrefix(p.Message, "bad number syntax: "):
		p.Message = "the number is written wrong"
	case strings.HasPrefix(p.Message, "invalid integer literal"):
		p.Message = "the number is too large"
	case strings.HasPrefix(p.Message, "expected at least"):
		p.Message, p.nearest = "there is no function like this", absent["sum"]
	case p.Message == "literal not terminated":
		p.Message = "the quote at the end of a text is missing"
	case p.Message == "invalid char escape":
		p.Message = `a backslash in a text is written twice, \\`
	}
	return nil, p
}

// What the library says of tokens and characters.
var (
	unexpected   = regexp.MustCompile(`unexpected token \w+\(("(?:[^"\\]|\\.)*")\)`)
	unrecognized = regexp.MustCompile(`unrecognized character: \S+ '(.)'`)
)
