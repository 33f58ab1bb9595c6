package expression

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
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
	source  []rune
	reads   []table.Column
	// references counts the nodes that read a column.
	references int
	// visited counts nodes compiled: the library shares the middle of a < b < c
	// between two comparisons, which nested doubles at each level.
	visited int
	// patterns is the size of the regular expressions so far.
	patterns int
	// variables counts the arguments of rows, for their names.
	variables int
}

// maxVisits bounds visited.
const maxVisits = 8 * MaxNodes

// compileSource returns the root node of a text. The first problem ends the
// compilation: it is a panic of a *Problem, which gets no further than here.
func (c *compiler) compileSource(source string) (root node, problem *Problem) {
	tree, problem := parse(source)
	if problem != nil {
		return nil, problem
	}
	c.source = []rune(source)
	defer func() {
		thrown := recover()
		if p, ok := thrown.(*Problem); ok {
			if root, problem = nil, p; c.visited > maxVisits {
				p.kind = thalweg.Exhausted
			}
		} else if thrown != nil {
			panic(thrown)
		}
	}()
	if root = c.compile(tree); root.typ() == "" {
		panic(problemAt(tree, "the expression is always null"))
	}
	if _, ok := root.(*literal); ok {
		c.notColumn(tree)
	}
	return root, nil
}

// notColumn raises the problem of a text that nothing is computed of but a
// literal which is the name of a column.
func (c *compiler) notColumn(n ast.Node) {
	ast.Find(n, func(n ast.Node) bool {
		s, ok := n.(*ast.StringNode)
		if _, _, known := c.columns.Lookup(valueOf(s)); ok && known {
			panic(problemAt(n, "%q is a text here, not the column", s.Value))
		}
		return false
	})
}

func valueOf(s *ast.StringNode) string {
	if s == nil {
		return ""
	}
	return s.Value
}

// compile returns the node of a part of the text, a value of one of the column
// types or the literal null.
func (c *compiler) compile(n ast.Node) node {
	out := c.open(n)
	r, ok := out.(*row)
	if !ok {
		return out
	}
	r.seal(n)
	if len(r.args) == 0 {
		return c.fold(n, r)
	}
	return r
}

// open is compile, but leaves the trees of rows open. Other parts that read
// no column become literals.
func (c *compiler) open(n ast.Node) node {
	if c.visited++; c.visited > maxVisits {
		panic(&Problem{Message: "the expression is too large"})
	}
	before := c.references
	out := c.compileNode(n)
	switch out.(type) {
	case *literal, *row:
		return out
	}
	if c.references > before {
		return out
	}
	return c.fold(n, out)
}

// fold returns the literal that a node without columns is equal to.
func (c *compiler) fold(at ast.Node, n node) node {
	c.notColumn(at)
	f := &frame{rows: 1}
	v := n.eval(f)
	if f.err != nil || v.valid.Words != nil && !v.valid.Has(0) {
		panic(problemAt(at, "this is always null"))
	}
	switch v.t {
	case table.Bool:
		return newBool(v.bits.Has(0))
	case table.Float64:
		return newFloat(v.floats[0])
	case table.String:
		s := v.text.at(int(v.ids[0]))
		if len(s) > MaxSource {
			panic(problemAt(at, "this is always the same string of %d bytes: at most %d", len(s), MaxSource))
		}
		return newString(s)
	}
	return newInt(v.t, v.ints[0])
}

func (c *compiler) compileNode(n ast.Node) node {
	switch n := n.(type) {
	case *ast.NilNode:
		return newNull()
	case *ast.BoolNode:
		return newBool(n.Value)
	case *ast.IntegerNode:
		return newInt(table.Int64, int64(n.Value))
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) {
			panic(problemAt(n, "the number is too large"))
		}
		return newFloat(n.Value)
	case *ast.StringNode:
		if at := n.Location().From; at < len(c.source) && c.source[at] == '`' {
			return c.column(n, n.Value)
		}
		return newString(n.Value)
	case *ast.IdentifierNode:
		if n.Value == "null" {
			return newNull()
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
		p := problemAt(n, "values have no methods")
		if of, ok := n.Callee.(*ast.MemberNode); ok {
			property, _ := of.Property.(*ast.StringNode)
			p.nearest = absent[plain(valueOf(property))]
		}
		panic(p)
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
		panic(problemAt(n, "a list can only stand behind in"))
	}
	panic(problemAt(n, "this is not part of the expressions of a pipeline"))
}

// column returns the node that reads a column.
func (c *compiler) column(n ast.Node, name string) node {
	c.references++
	for i, r := range c.reads {
		if r.Name == name {
			return &column{Column: r, index: i}
		}
	}
	_, found, ok := c.columns.Lookup(name)
	if ok {
		c.reads = append(c.reads, found)
		return &column{Column: found, index: len(c.reads) - 1}
	}
	for _, u := range c.columns.Unsupported {
		if u.Name == name {
			panic(problemAt(n, "column %s holds %s, which no expression can read", name, u.Type))
		}
	}
	p := problemAt(n, "there is no column %s", name)
	p.nearest = spelling.Hint(name, c.columns.Names())
	if f, ok := catalog()[name]; ok && p.nearest == "" {
		p.nearest = name + " is a function: write " + strings.Join(f.forms(name), " or ")
	} else if p.nearest == "" {
		p.nearest = absent[plain(name)]
	}
	panic(p)
}

func (c *compiler) unary(n *ast.UnaryNode) node {
	arg := c.compile(n.Node)
	switch n.Operator {
	case "not", "!":
		expect(n.Node, n.Operator, aBool, arg)
		return not(arg)
	case "-", "+":
		expect(n.Node, n.Operator, aNumber, arg)
		switch {
		case n.Operator == "+":
			return arg
		case arg.typ() == table.Int64:
			return intArithmetic("-", newInt(table.Int64, 0), arg)
		}
		// Not 0 - x, which loses the sign of zero.
		return floatArithmetic("*", newFloat(-1), arg)
	}
	panic(problemAt(n, "there is no operator %s", n.Operator))
}

func (c *compiler) conditional(n *ast.ConditionalNode) node {
	cond := c.compile(n.Cond)
	expect(n.Cond, "?:", aBool, cond)
	a, b := c.compile(n.Exp1), c.compile(n.Exp2)
	return choose(common(n.Exp2, "the branches of ?:", a, b), cond, a, b)
}

// common returns the type that values of both nodes have; a null takes the
// other's.
func common(at ast.Node, what string, a, b node) table.Type {
	refuseLists(at, what, a, b)
	x, y := a.typ(), b.typ()
	switch {
	case x == "" && y == "":
		panic(problemAt(at, "%s are both null", what))
	case x == "":
		return y
	case y == "" || x == y:
		return x
	case isNumber(x) && isNumber(y):
		return table.Float64
	}
	panic(problemAt(at, "%s are of different types, %s and %s", what, x, y))
}

func isNumber(t table.Type) bool { return t == table.Int64 || t == table.Float64 }

// expect raises the problem of an operand of the wrong type.
func expect(at ast.Node, what string, want types, got node) {
	if !slices.Contains(want.of, got.typ()) {
		panic(wants(at, what, want.name, got))
	}
}

// wants is the problem of an operand that is not what an operator or function
// takes.
func wants(at ast.Node, what, want string, got node) *Problem {
	if got.typ() == "" {
		return problemAt(at, "%s takes %s, not null", what, want).withHint("test for null with == null")
	}
	p := problemAt(at, "%s takes %s, not %s", what, want, article(string(got.typ())))
	if read, ok := got.(*column); ok {
		p.Message = fmt.Sprintf("%s takes %s, and %s is %s", what, want, read.Name, article(string(got.typ())))
	}
	switch {
	case want == aTimestamp.name && got.typ() == table.String:
		p.nearest = absent["strptime"]
	case got.typ() == table.Timestamp:
		p.nearest = absent["datediff"]
	case isList(got):
		p.nearest = partOfList
	}
	return p
}

func article(noun string) string {
	if slices.Contains([]byte("aeiou"), noun[0]) {
		return "an " + noun
	}
	return "a " + noun
}

// timestamp returns the literal of a date and time written as a string.
func (c *compiler) timestamp(at ast.Node, l *literal) *literal {
	if us, ok := table.ParseTime(l.value.(string), c.zone); ok {
		return newInt(table.Timestamp, us)
	}
	panic(problemAt(at, "%s is not a date or time", strconv.Quote(l.value.(string))).withHint(`write "2020-01-31", "2020-01-31 15:04:05" or an RFC 3339 time`))
}
