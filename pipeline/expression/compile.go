package expression

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// compiler types a parsed expression and makes its nodes.
type compiler struct {
	columns table.Schema
	zone    *time.Location
	reads   []table.Column
	// references counts the nodes that read a column.
	references int
	// visited counts nodes compiled: the library shares the middle of a < b < c
	// between two comparisons, which nested doubles at each level.
	visited int
	// variables counts the arguments of rows, for their names.
	variables int
}

// maxVisits bounds visited.
const maxVisits = 8 * MaxNodes

func (c *compiler) compileSource(source string) (node, error) {
	tree, err := parse(source)
	if err != nil {
		return nil, err
	}
	n, p := c.compile(tree)
	if p == nil && n.typ() == "" {
		p = problemAt(tree, "the expression is always null")
	}
	if p == nil {
		return n, nil
	}
	if c.visited > maxVisits {
		return nil, wrap(source, thalweg.Exhausted, p)
	}
	return nil, wrap(source, thalweg.Invalid, p)
}

// compile returns the node of a part of the text, a value of one of the five
// types or the literal null.
func (c *compiler) compile(n ast.Node) (node, *Problem) {
	out, p := c.open(n)
	if p != nil {
		return nil, p
	}
	r, ok := out.(*row)
	if !ok {
		return out, nil
	}
	if out, p = r.seal(n); p != nil {
		return nil, p
	}
	if len(r.args) == 0 {
		return fold(n, out)
	}
	return out, nil
}

// open is compile, but leaves the trees of rows open. Other parts that read
// no column become literals.
func (c *compiler) open(n ast.Node) (node, *Problem) {
	if c.visited++; c.visited > maxVisits {
		return nil, &Problem{Message: "the expression is too large"}
	}
	before := c.references
	out, p := c.compileNode(n)
	if p != nil {
		return nil, p
	}
	switch out.(type) {
	case *literal, *row:
		return out, nil
	}
	if c.references > before {
		return out, nil
	}
	return fold(n, out)
}

// fold returns the literal that a node without columns is equal to.
func fold(at ast.Node, n node) (node, *Problem) {
	f := &frame{rows: 1}
	v := n.eval(f)
	if f.err != nil || v.valid.Words != nil && !v.valid.Has(0) {
		return nil, problemAt(at, "this is always null")
	}
	switch v.t {
	case table.Bool:
		return newBool(v.bits.Has(0)), nil
	case table.Float64:
		return newFloat(v.floats[0]), nil
	case table.String:
		return newString(v.text.at(int(v.ids[0]))), nil
	}
	return newInt(v.t, v.ints[0]), nil
}

func (c *compiler) compileNode(n ast.Node) (node, *Problem) {
	switch n := n.(type) {
	case *ast.NilNode:
		return newNull(), nil
	case *ast.BoolNode:
		return newBool(n.Value), nil
	case *ast.IntegerNode:
		return newInt(table.Int64, int64(n.Value)), nil
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) {
			return nil, problemAt(n, "the number is too large")
		}
		return newFloat(n.Value), nil
	case *ast.StringNode:
		return newString(n.Value), nil
	case *ast.IdentifierNode:
		if n.Value == "null" {
			return newNull(), nil
		}
		return c.column(n, n.Value)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
		return nil, problemAt(n, "values have no methods")
	case *ast.MemberNode:
		if env, ok := n.Node.(*ast.IdentifierNode); ok && env.Value == "$env" {
			if name, ok := n.Property.(*ast.StringNode); ok {
				return c.column(n, name.Value)
			}
		}
		return c.index(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.ArrayNode:
		return nil, problemAt(n, "a list can only stand behind in")
	}
	return nil, problemAt(n, "this is not part of the expressions of a pipeline")
}

// column returns the node that reads a column.
func (c *compiler) column(n ast.Node, name string) (node, *Problem) {
	c.references++
	for i, r := range c.reads {
		if r.Name == name {
			return &column{Column: r, index: i}, nil
		}
	}
	_, found, ok := c.columns.Lookup(name)
	if ok {
		c.reads = append(c.reads, found)
		return &column{Column: found, index: len(c.reads) - 1}, nil
	}
	for _, u := range c.columns.Unsupported {
		if u.Name == name {
			return nil, problemAt(n, "column %s holds %s, which no expression can read", name, u.Type)
		}
	}
	p := problemAt(n, "there is no column %s", name)
	p.Hint = spelling.Hint(name, c.columns.Names())
	if p.Hint == "" && isFunction(name) {
		p.Hint = name + " is a function: write " + name + "(…)"
	}
	return nil, p
}

func (c *compiler) unary(n *ast.UnaryNode) (node, *Problem) {
	arg, p := c.compile(n.Node)
	if p != nil {
		return nil, p
	}
	switch n.Operator {
	case "not", "!":
		if arg.typ() != table.Bool {
			return nil, wants(n.Node, n.Operator, "a bool", arg)
		}
		return not(arg), nil
	case "-", "+":
		if !isNumber(arg.typ()) {
			return nil, wants(n.Node, n.Operator, "a number", arg)
		}
		switch {
		case n.Operator == "+":
			return arg, nil
		case arg.typ() == table.Int64:
			return intArithmetic("-", newInt(table.Int64, 0), arg), nil
		}
		// Not 0 - x, which loses the sign of zero.
		return floatArithmetic("*", newFloat(-1), arg), nil
	}
	return nil, problemAt(n, "there is no operator %s", n.Operator)
}

func (c *compiler) conditional(n *ast.ConditionalNode) (node, *Problem) {
	cond, p := c.compile(n.Cond)
	if p != nil {
		return nil, p
	}
	if cond.typ() != table.Bool {
		return nil, wants(n.Cond, "?:", "a bool", cond)
	}
	a, b, p := c.two(n.Exp1, n.Exp2)
	if p != nil {
		return nil, p
	}
	t, p := common(n.Exp2, "the branches of ?:", a, b)
	if p != nil {
		return nil, p
	}
	return choose(t, cond, a, b), nil
}

func (c *compiler) two(left, right ast.Node) (a, b node, p *Problem) {
	if a, p = c.compile(left); p != nil {
		return nil, nil, p
	}
	b, p = c.compile(right)
	return a, b, p
}

// common returns the type that values of both nodes have; a null takes the
// other's.
func common(at ast.Node, what string, a, b node) (table.Type, *Problem) {
	x, y := a.typ(), b.typ()
	switch {
	case x == "" && y == "":
		return "", problemAt(at, "%s are both null", what)
	case x == "":
		return y, nil
	case y == "" || x == y:
		return x, nil
	case isNumber(x) && isNumber(y):
		return table.Float64, nil
	}
	return "", problemAt(at, "%s are of different types, %s and %s", what, x, y)
}

func isNumber(t table.Type) bool { return t == table.Int64 || t == table.Float64 }

// wants is the problem of an operand of the wrong type.
func wants(at ast.Node, what, want string, got node) *Problem {
	if got.typ() == "" {
		p := problemAt(at, "%s takes %s, not null", what, want)
		p.Hint = "test for null with == null"
		return p
	}
	return problemAt(at, "%s takes %s, not %s", what, want, article(string(got.typ())))
}

func article(noun string) string {
	if slices.Contains([]byte("aeiou"), noun[0]) {
		return "an " + noun
	}
	return "a " + noun
}

// timestamp returns the literal of a date and time written as a string.
func (c *compiler) timestamp(at ast.Node, l *literal) (node, *Problem) {
	if us, ok := table.ParseTime(l.s, c.zone); ok {
		return newInt(table.Timestamp, us), nil
	}
	p := problemAt(at, "%s is not a date or time", strconv.Quote(l.s))
	p.Hint = `write "2020-01-31", "2020-01-31 15:04:05" or an RFC 3339 time`
	return nil, p
}
