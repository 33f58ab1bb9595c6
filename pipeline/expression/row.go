package expression

import (
	"math"
	"slices"
	"strconv"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	vmcompiler "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/thalweg/thalweg/pipeline/table"
)

// list is the type of what split yields: no column has it, and only an index
// takes it.
const list table.Type = "list"

// row is a part of an expression without a form of its own for columns: it
// runs on the library's virtual machine for each row, or for each dictionary
// entry where one string is all that it depends on. A row whose arguments are
// not all known is null, and so is one whose evaluation fails, as that of
// split("a", "-")[1] does.
type row struct {
	t table.Type
	// tree is the library's form, in which the arguments are variables.
	tree ast.Node
	args []argument
	// program is the tree compiled; nil while tree may still become part of a
	// larger one.
	program *vm.Program
}

// argument is a variable of a row's program.
type argument struct {
	node
	name string
}

func (r *row) typ() table.Type { return r.t }

// part compiles an operand of a row function. Rows stay open, to be joined to
// the tree that they are part of.
func (c *compiler) part(n ast.Node) *row {
	out := c.open(n)
	if r, ok := out.(*row); ok {
		return r
	}
	r := &row{t: out.typ()}
	if l, ok := out.(*literal); ok {
		constant := l.value
		if i, ok := constant.(int64); ok {
			constant = int(i) // as the machine has it
		}
		r.tree = &ast.ConstantNode{Value: constant}
	} else {
		name := "v" + strconv.Itoa(c.variables)
		c.variables++
		r.tree = &ast.IdentifierNode{Value: name}
		r.args = []argument{{out, name}}
	}
	return r
}

// rowCall compiles a call of a row function.
func (c *compiler) rowCall(n call, f rowFunction) node {
	called := &ast.CallNode{Callee: &ast.IdentifierNode{Value: f.name}}
	out := &row{t: f.result, tree: called}
	for i, a := range n.args {
		r := c.part(a)
		if want := f.args[i]; r.t != want {
			panic(wants(a, n.name, article(string(want)), r))
		}
		called.Arguments = append(called.Arguments, r.tree)
		out.args = append(out.args, r.args...)
	}
	return out
}

// rowOperator makes a row of an operator of two strings.
func (c *compiler) rowOperator(n *ast.BinaryNode) node {
	a, b := c.part(n.Left), c.part(n.Right)
	joined := &ast.BinaryNode{Operator: n.Operator, Left: a.tree, Right: b.tree}
	return &row{t: table.Bool, tree: joined, args: append(a.args, b.args...)}
}

// index compiles list[i], of what split yields or of a column.
func (c *compiler) index(n *ast.MemberNode) node {
	of := c.part(n.Node)
	if isList(of) && !n.Optional {
		at := c.compile(n.Property)
		expect(n.Property, "[ ]", types{"an int64", []table.Type{table.Int64}}, at)
		return elementAt(of.args[0].node, at)
	}
	if of.t != list || n.Optional {
		p := problemAt(n, "%s has no parts", article(string(of.t)))
		property, _ := n.Property.(*ast.StringNode)
		if p.nearest = absent[plain(valueOf(property))]; of.t == table.String {
			p.nearest = "a part of a string is s[from:to]"
		}
		panic(p)
	}
	at := c.part(n.Property)
	if at.t != table.Int64 {
		panic(wants(n.Property, "[ ]", "an int64", at))
	}
	return &row{t: table.String, tree: &ast.MemberNode{Node: of.tree, Property: at.tree}, args: append(of.args, at.args...)}
}

// slice compiles s[from:to].
func (c *compiler) slice(n *ast.SliceNode) node {
	from, to := n.From, n.To
	if from == nil {
		from = &ast.IntegerNode{}
	}
	if to == nil {
		to = &ast.IntegerNode{Value: math.MaxInt}
	}
	return c.rowCall(call{n, "[:]", []ast.Node{n.Node, from, to}}, substring)
}

// seal compiles the row's tree. It was typed here, so that a refusal by the
// library would be a mistake of this package.
func (r *row) seal(n ast.Node) {
	if r.t == list {
		panic(problemAt(n, "a list is no value of a column").withHint("take one of its parts: split(…)[0]"))
	}
	env := make(map[string]any, len(r.args))
	for _, a := range r.args {
		env[a.name] = zero(a.typ())
	}
	config := conf.New(env)
	config.Builtins, config.MaxNodes = nil, 0
	for _, f := range rowFunctions {
		f.declare(config)
	}
	for _, f := range textOf {
		f.declare(config)
	}
	substring.declare(config)
	tree := &parser.Tree{Node: r.tree}
	_, err := checker.Check(tree, config)
	if err == nil {
		r.program, err = vmcompiler.Compile(tree, config)
	}
	if err != nil {
		panic(problemAt(n, "%v", err))
	}
}

// declare makes the function known to the library.
func (f rowFunction) declare(config *conf.Config) {
	expr.Function(f.name, func(args ...any) (any, error) { return f.fn(args), nil }, f.signature)(config)
}

// zero is a value of the machine's type for t.
func zero(t table.Type) any {
	switch t {
	case table.Int64:
		return 0
	case table.Float64:
		return 0.0
	case table.Bool:
		return false
	}
	return ""
}

func (r *row) eval(f *frame) vector {
	args := make([]vector, len(r.args))
	var valid table.Mask
	for i, a := range r.args {
		if args[i] = a.eval(f); f.err != nil {
			return vector{t: r.t}
		}
		valid = both(valid, args[i].valid)
	}
	m := machine{row: r, env: make(map[string]any, len(args))}
	if len(args) == 1 && args[0].t == table.String {
		return m.byEntry(f, &args[0])
	}
	results := make([]any, f.rows)
	for i := range results {
		if valid.Words != nil && !valid.Has(i) {
			continue
		}
		for k := range args {
			m.env[r.args[k].name] = args[k].at(i)
		}
		if results[i] = m.run(f); f.err != nil {
			break
		}
	}
	return byRow(f, r.t, results)
}

// at returns the value of row i for the machine.
func (v *vector) at(i int) any {
	switch v.t {
	case table.Int64:
		return int(v.intsAt(i, i+1)[0])
	case table.Float64:
		return v.floatsAt(i, i+1)[0]
	case table.Bool:
		return v.bits.Has(i)
	}
	return v.text.at(int(v.idsAt(i, i+1)[0]))
}

// machine runs a row's program.
type machine struct {
	row *row
	env map[string]any
	vm  vm.VM
}

// run returns the value for the variables set, nil for null, which a float64
// that is not finite is too.
func (m *machine) run(f *frame) any {
	v, err := m.vm.Run(m.row.program, m.env)
	if err != nil {
		return nil
	}
	switch v := v.(type) {
	case float64:
		if isNotFinite(v) {
			return nil
		}
	case string:
		f.made(len(v))
	}
	return v
}

// byEntry evaluates each dictionary entry once.
func (m *machine) byEntry(f *frame, arg *vector) vector {
	results := make([]any, arg.text.len())
	arg.eachEntry(func(id int) {
		m.env[m.row.args[0].name] = arg.text.at(id)
		if f.err == nil {
			results[id] = m.run(f)
		}
	})
	out := vector{t: m.row.t, valid: arg.valid}
	if known := each(results, isKnown); slices.Contains(known, false) {
		out.valid = both(arg.valid, arg.gatherBits(f.rows, known).bits)
	}
	switch m.row.t {
	case table.Int64:
		out.ints = gather(arg, f.rows, each(results, toInt))
	case table.Float64:
		out.floats = gather(arg, f.rows, each(results, to[float64]))
	case table.Bool:
		out.bits = arg.gatherBits(f.rows, each(results, to[bool])).bits
	case table.String:
		out.ids, out.borrowed, out.constant = arg.ids, arg.borrowed, arg.constant
		out.text.list = each(results, to[string])
	}
	return out
}

// byRow returns the vector of results that are one per row.
func byRow(f *frame, t table.Type, results []any) vector {
	out := vector{t: t}
	if known := each(results, isKnown); slices.Contains(known, false) {
		out.valid = maskOf(known)
	}
	switch t {
	case table.Int64:
		out.ints = each(results, toInt)
	case table.Float64:
		out.floats = each(results, to[float64])
	case table.Bool:
		out.bits = maskOf(each(results, to[bool]))
	case table.String:
		out.ids = make([]int32, f.rows)
		ids := make(map[string]int32)
		for i, v := range results {
			s, known := v.(string)
			if !known {
				continue
			}
			id, ok := ids[s]
			if !ok {
				id = int32(len(out.text.list))
				ids[s] = id
				out.text.list = append(out.text.list, s)
			}
			out.ids[i] = id
		}
	}
	return out
}

// each returns what results of the machine are as values of a vector.
func each[T any](results []any, as func(any) T) []T {
	out := make([]T, len(results))
	for i, v := range results {
		out[i] = as(v)
	}
	return out
}

func isKnown(v any) bool { return v != nil }

// to returns a T as it is, and its zero for null.
func to[T any](v any) T {
	t, _ := v.(T)
	return t
}

func toInt(v any) int64 { return int64(to[int](v)) }

func maskOf(bools []bool) table.Mask {
	m := table.NewMask(len(bools))
	for i, b := range bools {
		if b {
			m.Set(i)
		}
	}
	return m
}
