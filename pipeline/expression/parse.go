package expression

import (
	"errors"
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
func parse(source string) (root ast.Node, err error) {
	switch {
	case len(source) > MaxSource:
		return nil, wrap(source, thalweg.Exhausted, &Problem{Message: "the expression is too long", Hint: "at most 4096 bytes"})
	case strings.TrimSpace(source) == "":
		return nil, wrap(source, thalweg.Invalid, &Problem{Message: "the expression is empty"})
	case !utf8.ValidString(source):
		return nil, wrap(source, thalweg.Invalid, &Problem{Message: "the expression is not valid UTF-8"})
	}
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, wrap(source, thalweg.Invalid, &Problem{Message: "the expression cannot be parsed"})
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = MaxNodes
	config.DisableIfOperator = true
	tree, err := parser.ParseWithConfig(source, config)
	if err == nil {
		return tree.Node, nil
	}
	p := &Problem{Message: err.Error()}
	var at *file.Error
	if errors.As(err, &at) {
		p.Offset, p.Message = at.From, at.Message
	}
	kind := thalweg.Invalid
	if strings.Contains(p.Message, "maximum allowed nodes") {
		kind, p.Message, p.Hint = thalweg.Exhausted, "the expression is too large", "at most 512 operators, operands and calls"
	}
	return nil, wrap(source, kind, p)
}
