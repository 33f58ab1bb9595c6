package expression

import (
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Tree is an expression for whoever computes it elsewhere: an operator or function and its
// arguments.
type Tree struct {
	// Op is the operator or the function as it is written: "+", "and" and "or" however
	// written, "in" with the literals of its list behind its left side, "?:", "hour"; and
	// "column" and "literal".
	Op   string
	Type table.Type // "" of the literal null
	// Column is the name of a column, Value of a literal: a string, a bool, a float64 or
	// an int64, of a timestamp too.
	Column string
	Value  any
	Args   []*Tree
}

// Tree returns the expression's, nil where a part of it has no such form: it reads parts of
// texts or lists, for example.
func (p *Program) Tree() *Tree {
	root, problem := parse(p.source)
	if problem != nil {
		return nil
	}
	return p.tree(root)
}

// Zone is that in which timestamps are read.
func (p *Program) Zone() *time.Location { return p.zone }

func (p *Program) tree(n ast.Node) *Tree {
	// The types of parts are those that they have in the whole.
	c := &compiler{columns: table.Schema{Columns: p.reads}, zone: p.zone, source: []rune(p.source)}
	compiled := c.compile(n)
	out := &Tree{Type: compiled.typ()}
	switch of := compiled.(type) {
	case *literal:
		out.Op, out.Value = "literal", of.value
		return out
	case *column:
		out.Op, out.Column = "column", of.Name
		return out
	}
	var args []ast.Node
	switch n := n.(type) {
	case *ast.UnaryNode:
		out.Op, args = n.Operator, []ast.Node{n.Node}
	case *ast.BinaryNode:
		out.Op, args = n.Operator, []ast.Node{n.Left, n.Right}
		if n.Operator == "in" {
			list, ok := n.Right.(*ast.ArrayNode)
			if !ok {
				return nil
			}
			args = append([]ast.Node{n.Left}, list.Nodes...)
		}
	case *ast.ConditionalNode:
		out.Op, args = "?:", []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.BuiltinNode:
		out.Op, args = n.Name, n.Arguments
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return nil
		}
		out.Op, args = callee.Value, n.Arguments
	default:
		return nil
	}
	switch out.Op {
	case "&&":
		out.Op = "and"
	case "||":
		out.Op = "or"
	case "!":
		out.Op = "not"
	}
	for _, a := range args {
		of := p.tree(a)
		if of == nil {
			return nil
		}
		out.Args = append(out.Args, of)
	}
	p.readTimes(out)
	return out
}

// readTimes makes literal texts that stand beside timestamps times.
func (p *Program) readTimes(t *Tree) {
	for _, a := range t.Args {
		if a.Type != table.Timestamp {
			continue
		}
		for _, l := range t.Args {
			text, ok := l.Value.(string)
			if us, read := table.ParseTime(text, p.zone); ok && read {
				l.Type, l.Value = table.Timestamp, us
			}
		}
	}
}
