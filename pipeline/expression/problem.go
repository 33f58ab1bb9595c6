package expression

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg"
)

// Problem is what is wrong with an expression, and where.
type Problem struct {
	// Offset counts the characters before the place.
	Offset  int
	Message string
	// Hint says what may have been meant, or is empty.
	Hint string
	// nearest is the hint where nothing better is found.
	nearest string
	// syntax says that the text is none whatever the columns are.
	syntax bool
	kind   thalweg.Kind // none for Invalid
}

// Error implements error.
func (p *Problem) Error() string {
	return "character " + strconv.Itoa(p.Offset+1) + ": " + p.Message
}

// wrap returns the error of Compile for a problem.
func wrap(source string, p *Problem) error {
	kind := p.kind
	if kind == thalweg.Other {
		kind = thalweg.Invalid
	}
	const shown = 80
	if r := []rune(source); len(r) > shown {
		source = string(r[:shown]) + "…"
	}
	return &thalweg.Error{Op: "compile expression", Kind: kind, Subject: strconv.Quote(source), Err: p, Hint: p.Hint}
}

// withHint returns p with a hint.
func (p *Problem) withHint(hint string) *Problem {
	p.Hint = hint
	return p
}

// problemAt returns the problem of a node of the parsed text.
func problemAt(n ast.Node, format string, args ...any) *Problem {
	return &Problem{Offset: n.Location().From, Message: fmt.Sprintf(format, args...)}
}

// explained returns p with the hint that its text deserves.
func (p *Problem) explained(source string, known columns, check func(string) *Problem) *Problem {
	if p.Hint == "" && p.kind == thalweg.Other {
		p.Hint = cmp.Or(mend(source, p, known, check), p.nearest)
	}
	return p
}
