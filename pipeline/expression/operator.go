package expression

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg/pipeline/table"
)

// textTests are the operators that test a string against another.
var textTests = map[string]func(s, other string) bool{
	"contains":   strings.Contains,
	"startsWith": strings.HasPrefix,
	"endsWith":   strings.HasSuffix,
}

func (c *compiler) binary(n *ast.BinaryNode) (node, *Problem) {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "matches":
		return c.matches(n)
	case "..":
		return nil, problemAt(n, "a range can only stand behind in")
	}
	if test, ok := textTests[n.Operator]; ok {
		return c.textTest(n, test)
	}
	a, b, p := c.two(n.Left, n.Right)
	if p != nil {
		return nil, p
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		for i, side := range []node{a, b} {
			if side.typ() != table.Bool {
				return nil, wants([]ast.Node{n.Left, n.Right}[i], n.Operator, "bools", side)
			}
		}
		return logic(n.Operator == "or" || n.Operator == "||", a, b), nil
	case "??":
		return c.coalesce(n, n.Operator, []node{a, b})
	}
	if op, ok := comparisons[n.Operator]; ok {
		return c.comparison(n, op, a, b)
	}
	if n.Operator == "+" && a.typ() == table.String && b.typ() == table.String {
		return apply(table.String, concat, a, b), nil
	}
	return c.arithmetic(n, n.Operator, a, b)
}

func (c *compiler) arithmetic(n *ast.BinaryNode, op string, a, b node) (node, *Problem) {
	if _, known := floatOps[op]; !known && op != "%" {
		return nil, problemAt(n, "there is no operator %s", op)
	}
	for i, side := range []node{a, b} {
		at := []ast.Node{n.Left, n.Right}[i]
		switch {
		case op == "%" && side.typ() != table.Int64:
			return nil, wants(at, op, "two int64", side)
		case op == "+" && !isNumber(side.typ()):
			return nil, wants(at, op, "two numbers or two strings", side)
		case !isNumber(side.typ()):
			return nil, wants(at, op, "two numbers", side)
		}
	}
	if _, ok := intOps[op]; ok && a.typ() == table.Int64 && b.typ() == table.Int64 {
		return intArithmetic(op, a, b), nil
	}
	return floatArithmetic(op, a, b), nil
}

func (c *compiler) comparison(n *ast.BinaryNode, op comparison, a, b node) (node, *Problem) {
	if isNullLiteral(a) || isNullLiteral(b) {
		if op.loop != equal {
			return nil, problemAt(n, "null is neither less nor greater: only == and != take it")
		}
		if isNullLiteral(a) {
			a = b
		}
		return isNull(op.not, a), nil
	}
	var p *Problem
	if l, ok := b.(*literal); ok && l.t == table.String && a.typ() == table.Timestamp {
		b, p = c.timestamp(n.Right, l)
	} else if l, ok := a.(*literal); ok && l.t == table.String && b.typ() == table.Timestamp {
		a, p = c.timestamp(n.Left, l)
	}
	if p != nil {
		return nil, p
	}
	x, y := a.typ(), b.typ()
	switch {
	case isNumber(x) && isNumber(y) && x != y, x == table.Float64 && y == table.Float64:
		return apply(table.Bool, compareNumbers(op, (*vector).floatsAt), asFloat(a), asFloat(b)), nil
	case x != y:
		return nil, problemAt(n, "%s cannot compare %s with %s", n.Operator, article(string(x)), article(string(y)))
	case x == table.String:
		return compareStrings(op, a, b), nil
	case x == table.Bool:
		if op.loop != equal {
			return nil, problemAt(n, "bools have no order: only == and != take them")
		}
		return apply(table.Bool, compareBools(op), a, b), nil
	}
	return apply(table.Bool, compareNumbers(op, (*vector).intsAt), a, b), nil
}

// compareStrings returns an entry test where one side is a literal.
func compareStrings(op comparison, a, b node) node {
	if l, ok := b.(*literal); ok {
		return entryTest(a, func(s string) bool { return op.holds(cmp.Compare(s, l.s)) })
	}
	if l, ok := a.(*literal); ok {
		return entryTest(b, func(s string) bool { return op.holds(cmp.Compare(l.s, s)) })
	}
	return apply(table.Bool, compareText(op), a, b)
}

func (c *compiler) textTest(n *ast.BinaryNode, test func(s, other string) bool) (node, *Problem) {
	a, b, p := c.two(n.Left, n.Right)
	if p != nil {
		return nil, p
	}
	for i, side := range []node{a, b} {
		if side.typ() != table.String {
			return nil, wants([]ast.Node{n.Left, n.Right}[i], n.Operator, "two strings", side)
		}
	}
	if l, ok := b.(*literal); ok {
		return entryTest(a, func(s string) bool { return test(s, l.s) }), nil
	}
	if l, ok := a.(*literal); ok {
		return entryTest(b, func(s string) bool { return test(l.s, s) }), nil
	}
	return c.rowOperator(n)
}

// matches takes a literal pattern alone: compiled once, and of linear time in
// the string as RE2 is.
func (c *compiler) matches(n *ast.BinaryNode) (node, *Problem) {
	a, b, p := c.two(n.Left, n.Right)
	if p != nil {
		return nil, p
	}
	if a.typ() != table.String {
		return nil, wants(n.Left, n.Operator, "a string", a)
	}
	l, ok := b.(*literal)
	if !ok || l.t != table.String {
		return nil, problemAt(n.Right, "the pattern of matches must be a literal string")
	}
	re, err := regexp.Compile(l.s)
	if err != nil {
		return nil, problemAt(n.Right, "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return entryTest(a, re.MatchString), nil
}

func (c *compiler) in(n *ast.BinaryNode) (node, *Problem) {
	arg, p := c.compile(n.Left)
	if p != nil {
		return nil, p
	}
	if arg.typ() == "" {
		return nil, wants(n.Left, "in", "a value", arg)
	}
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		return c.inRange(n, r, arg)
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, problemAt(n.Right, `behind in stands a list of literals, ["a", "b"], or a range, 1..5`)
	}
	literals := make([]*literal, len(list.Nodes))
	t := arg.typ()
	for i, item := range list.Nodes {
		v, p := c.compile(item)
		if p != nil {
			return nil, p
		}
		l, ok := v.(*literal)
		if !ok {
			return nil, problemAt(item, "the list of in takes literals alone")
		}
		if l.t == table.String && arg.typ() == table.Timestamp {
			if v, p = c.timestamp(item, l); p != nil {
				return nil, p
			}
			l = v.(*literal)
		}
		if l.t != arg.typ() && !(isNumber(l.t) && isNumber(arg.typ())) {
			return nil, wants(item, "in", "values of one type: a list for "+article(string(arg.typ())), l)
		}
		if isNumber(l.t) && l.t != t {
			t = table.Float64
		}
		literals[i] = l
	}
	return member(arg, t, literals), nil
}

func member(arg node, t table.Type, list []*literal) node {
	switch t {
	case table.String:
		set := make(map[string]bool, len(list))
		for _, l := range list {
			set[l.s] = true
		}
		return entryTest(arg, func(s string) bool { return set[s] })
	case table.Bool:
		return boolMember(arg, list)
	case table.Float64:
		floats := make([]float64, len(list))
		for i, l := range list {
			floats[i] = asFloat(l).(*literal).f
		}
		slices.Sort(floats)
		return apply(table.Bool, inList(floats, (*vector).floatsAt), asFloat(arg))
	}
	ints := make([]int64, len(list))
	for i, l := range list {
		ints[i] = l.i
	}
	slices.Sort(ints)
	return apply(table.Bool, inList(ints, (*vector).intsAt), arg)
}

// boolMember is arg itself, its negation, or what is true or false wherever arg
// is known.
func boolMember(arg node, list []*literal) node {
	var yes, no bool
	for _, l := range list {
		yes, no = yes || l.b, no || !l.b
	}
	switch {
	case yes && !no:
		return arg
	case no && !yes:
		return not(arg)
	}
	return logic(yes, arg, not(arg))
}

func (c *compiler) inRange(n, r *ast.BinaryNode, arg node) (node, *Problem) {
	if !isNumber(arg.typ()) {
		return nil, wants(n.Left, "in with a range", "a number", arg)
	}
	from, to, p := c.two(r.Left, r.Right)
	if p != nil {
		return nil, p
	}
	for i, end := range []node{from, to} {
		if l, ok := end.(*literal); !ok || l.t != table.Int64 {
			return nil, problemAt([]ast.Node{r.Left, r.Right}[i], "the ends of a range must be literal int64")
		}
	}
	above, p := c.comparison(n, comparisons[">="], arg, from)
	if p != nil {
		return nil, p
	}
	below, p := c.comparison(n, comparisons["<="], arg, to)
	if p != nil {
		return nil, p
	}
	return logic(false, above, below), nil
}

// coalesce returns the first of several that is not null.
func (c *compiler) coalesce(n ast.Node, what string, values []node) (node, *Problem) {
	out := values[len(values)-1]
	for _, v := range slices.Backward(values[:len(values)-1]) {
		t, p := common(n, "the values of "+what, v, out)
		if p != nil {
			return nil, p
		}
		out = &coalesce{t: t, a: as(t, v), b: as(t, out)}
	}
	return out, nil
}
