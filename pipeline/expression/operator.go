package expression

import (
	"cmp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg/pipeline/pattern"
	"github.com/thalweg/thalweg/pipeline/table"
)

// textTests are the operators that test a string against another.
var textTests = map[string]func(s, other string) bool{
	"contains":   strings.Contains,
	"startsWith": strings.HasPrefix,
	"endsWith":   strings.HasSuffix,
}

func (c *compiler) binary(n *ast.BinaryNode) node {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "matches":
		return c.matches(n)
	case "..":
		panic(problemAt(n, "a range can only stand behind in"))
	}
	if test, ok := textTests[n.Operator]; ok {
		return c.textTest(n, test)
	}
	a, b := c.compile(n.Left), c.compile(n.Right)
	switch n.Operator {
	case "and", "&&", "or", "||":
		expectBoth(n, types{"bools", aBool.of}, a, b)
		return logic(n.Operator == "or" || n.Operator == "||", a, b)
	case "??":
		return firstKnown(n, n.Operator, []node{a, b})
	}
	if op, ok := comparisons[n.Operator]; ok {
		return c.comparison(n, op, a, b)
	}
	if n.Operator == "+" && a.typ() == table.String && b.typ() == table.String {
		return apply(table.String, concat, a, b)
	}
	return arithmetic(n, a, b)
}

// expectBoth is expect for both sides of an operator.
func expectBoth(n *ast.BinaryNode, want types, a, b node) {
	expect(n.Left, n.Operator, want, a)
	expect(n.Right, n.Operator, want, b)
}

func arithmetic(n *ast.BinaryNode, a, b node) node {
	op, want := n.Operator, types{"two numbers", numbers.of}
	if _, known := floatOps[op]; !known && op != "%" {
		panic(problemAt(n, "there is no operator %s", op))
	}
	switch op {
	case "%":
		want = types{"two int64", []table.Type{table.Int64}}
	case "+":
		want.name = "two numbers or two strings"
	}
	expectBoth(n, want, a, b)
	if _, ok := intOps[op]; ok && a.typ() == table.Int64 && b.typ() == table.Int64 {
		return intArithmetic(op, a, b)
	}
	return floatArithmetic(op, a, b)
}

func (c *compiler) comparison(n *ast.BinaryNode, op comparison, a, b node) node {
	if isNullLiteral(a) || isNullLiteral(b) {
		if op.loop != equal {
			panic(problemAt(n, "null is neither less nor greater: only == and != take it"))
		}
		if isNullLiteral(a) {
			a = b
		}
		return isNull(op.not, a)
	}
	if l, ok := b.(*literal); ok && l.t == table.String && a.typ() == table.Timestamp {
		b = c.timestamp(n.Right, l)
	} else if l, ok := a.(*literal); ok && l.t == table.String && b.typ() == table.Timestamp {
		a = c.timestamp(n.Left, l)
	}
	refuseLists(n, "the sides of "+n.Operator, a, b)
	x, y := a.typ(), b.typ()
	switch {
	case isNumber(x) && isNumber(y) && x != y, x == table.Float64 && y == table.Float64:
		return apply(table.Bool, compareNumbers(op, (*vector).floatsAt), asFloat(a), asFloat(b))
	case x != y:
		p := problemAt(n, "%s cannot compare %s with %s", n.Operator, named(a), named(b))
		if x == table.Timestamp || y == table.Timestamp {
			p.nearest = `a date stands in quotes, "2020-01-31"`
		}
		panic(p)
	case x == table.String:
		return compareStrings(op, a, b)
	case x == table.Bool:
		if op.loop != equal {
			panic(problemAt(n, "bools have no order: only == and != take them"))
		}
		return apply(table.Bool, compareBools(op), a, b)
	}
	return apply(table.Bool, compareNumbers(op, (*vector).intsAt), a, b)
}

// named says what a value is, a column by its name.
func named(n node) string {
	if read, ok := n.(*column); ok {
		return read.Name + " (" + article(string(n.typ())) + ")"
	}
	return article(string(n.typ()))
}

// compareStrings returns an entry test where one side is a literal.
func compareStrings(op comparison, a, b node) node {
	if l, ok := b.(*literal); ok {
		return entryTest(a, func(s string) bool { return op.holds(cmp.Compare(s, l.value.(string))) })
	}
	if l, ok := a.(*literal); ok {
		return entryTest(b, func(s string) bool { return op.holds(cmp.Compare(l.value.(string), s)) })
	}
	return apply(table.Bool, compareText(op), a, b)
}

func (c *compiler) textTest(n *ast.BinaryNode, test func(s, other string) bool) node {
	a, b := c.compile(n.Left), c.compile(n.Right)
	expectBoth(n, types{"two strings", aString.of}, a, b)
	if l, ok := b.(*literal); ok {
		return entryTest(a, func(s string) bool { return test(s, l.value.(string)) })
	}
	if l, ok := a.(*literal); ok {
		return entryTest(b, func(s string) bool { return test(l.value.(string), s) })
	}
	return c.rowOperator(n)
}

// matches takes a literal pattern alone: compiled once, and of linear time in
// the string as RE2 is.
func (c *compiler) matches(n *ast.BinaryNode) node {
	a, b := c.compile(n.Left), c.compile(n.Right)
	expect(n.Left, n.Operator, aString, a)
	l, ok := b.(*literal)
	if !ok || l.t != table.String {
		panic(problemAt(n.Right, "the pattern of matches must be a literal string"))
	}
	re, size, err := pattern.Compile(l.value.(string))
	if err != nil {
		panic(problemAt(n.Right, "%v", err))
	}
	if c.patterns += size; c.patterns > pattern.MaxSize {
		panic(problemAt(n.Right, "the patterns of the expression are too large together"))
	}
	return entryTest(a, re.MatchString)
}

func (c *compiler) in(n *ast.BinaryNode) node {
	arg := c.compile(n.Left)
	if arg.typ() == "" {
		panic(wants(n.Left, "in", "a value", arg))
	}
	refuseLists(n.Left, "what stands before in", arg)
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		return c.inRange(n, r, arg)
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		panic(problemAt(n.Right, `behind in stands a list of literals, ["a", "b"], or a range, 1..5`))
	}
	literals := make([]*literal, len(list.Nodes))
	t := arg.typ()
	for i, item := range list.Nodes {
		l, ok := c.compile(item).(*literal)
		if !ok {
			panic(problemAt(item, "the list of in takes literals alone"))
		}
		if l.t == table.String && arg.typ() == table.Timestamp {
			l = c.timestamp(item, l)
		}
		if l.t != arg.typ() && !(isNumber(l.t) && isNumber(arg.typ())) {
			panic(wants(item, "in", "values of one type: a list for "+article(string(arg.typ())), l))
		}
		if isNumber(l.t) && l.t != t {
			t = table.Float64
		}
		literals[i] = l
	}
	return member(arg, t, literals)
}

func member(arg node, t table.Type, list []*literal) node {
	switch t {
	case table.String:
		set := make(map[string]bool, len(list))
		for _, l := range list {
			set[l.value.(string)] = true
		}
		return entryTest(arg, func(s string) bool { return set[s] })
	case table.Bool:
		return boolMember(arg, list)
	case table.Float64:
		for i, l := range list {
			list[i] = asFloat(l).(*literal)
		}
		return apply(table.Bool, inList(sorted[float64](list), (*vector).floatsAt), asFloat(arg))
	}
	return apply(table.Bool, inList(sorted[int64](list), (*vector).intsAt), arg)
}

// sorted returns the values of literals of one type in order.
func sorted[T cmp.Ordered](list []*literal) []T {
	out := make([]T, len(list))
	for i, l := range list {
		out[i] = l.value.(T)
	}
	slices.Sort(out)
	return out
}

// boolMember is arg itself, its negation, or what is true or false wherever arg
// is known.
func boolMember(arg node, list []*literal) node {
	var yes, no bool
	for _, l := range list {
		yes, no = yes || l.value == true, no || l.value == false
	}
	switch {
	case yes && !no:
		return arg
	case no && !yes:
		return not(arg)
	}
	return logic(yes, arg, not(arg))
}

func (c *compiler) inRange(n, r *ast.BinaryNode, arg node) node {
	expect(n.Left, "in with a range", aNumber, arg)
	from, to := c.compile(r.Left), c.compile(r.Right)
	for i, end := range []node{from, to} {
		if l, ok := end.(*literal); !ok || l.t != table.Int64 {
			panic(problemAt([]ast.Node{r.Left, r.Right}[i], "the ends of a range must be literal int64"))
		}
	}
	return logic(false, c.comparison(n, comparisons[">="], arg, from), c.comparison(n, comparisons["<="], arg, to))
}

// firstKnown returns the first of several values that is not null.
func firstKnown(n ast.Node, what string, values []node) node {
	out := values[len(values)-1]
	for _, v := range slices.Backward(values[:len(values)-1]) {
		t := common(n, "the values of "+what, v, out)
		out = &coalesce{t: t, a: as(t, v), b: as(t, out)}
	}
	return out
}
