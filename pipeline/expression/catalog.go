package expression

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// function is a line of the catalog: the types and the number, min to max, of
// the arguments, and the node of a call with arguments like that.
type function struct {
	types    types
	min, max int
	make     func(c *compiler, n call, args []node) node
}

// types are those that a function takes, and what to call them. None: all.
type types struct {
	name string
	of   []table.Type
}

var (
	aNumber = types{"a number", []table.Type{table.Int64, table.Float64}}
	numbers = types{"numbers", aNumber.of}
	aString = types{"a string", []table.Type{table.String}}
	aBool   = types{"a bool", []table.Type{table.Bool}}

	aNumberOrString = types{"a number or a string", []table.Type{table.Int64, table.Float64, table.String}}
)

// call is a call in the text.
type call struct {
	ast.Node
	name string
	args []ast.Node
}

// many is the max of a function of any number of arguments.
const many = MaxNodes

// catalog returns the functions by name, those of rowFunctions aside. To add
// one is a line here and in the package comment.
func catalog() map[string]function {
	functions := map[string]function{
		"abs":      {aNumber, 1, 1, makeAbs},
		"floor":    {aNumber, 1, 1, ofFloat(math.Floor)},
		"ceil":     {aNumber, 1, 1, ofFloat(math.Ceil)},
		"round":    {aNumber, 1, 1, ofFloat(math.Round)},
		"sqrt":     {aNumber, 1, 1, ofFloat(math.Sqrt)},
		"exp":      {aNumber, 1, 1, ofFloat(math.Exp)},
		"log":      {aNumber, 1, 1, ofFloat(math.Log)},
		"log1p":    {aNumber, 1, 1, ofFloat(math.Log1p)},
		"min":      {numbers, 2, many, ofNumbers},
		"max":      {numbers, 2, many, ofNumbers},
		"int":      {aNumberOrString, 1, 1, makeInt},
		"float":    {aNumberOrString, 1, 1, makeFloat},
		"string":   {types{"a number, a bool or a string", []table.Type{table.Int64, table.Float64, table.Bool, table.String}}, 1, 1, makeString},
		"lower":    {aString, 1, 1, ofText(strings.ToLower)},
		"upper":    {aString, 1, 1, ofText(strings.ToUpper)},
		"trim":     {aString, 1, 2, makeTrim},
		"len":      {aString, 1, 1, makeLen},
		"coalesce": {types{}, 2, many, makeCoalesce},
	}
	for part := range clockParts {
		functions[part] = function{types{"a timestamp", []table.Type{table.Timestamp}}, 1, 1, makeClock}
	}
	return functions
}

// isFunction reports whether there is a function of that name.
func isFunction(name string) bool {
	return slices.Contains(slices.Collect(functionNames()), name)
}

// functionNames yields the names of all functions in order.
func functionNames() iter.Seq[string] {
	names := slices.Collect(maps.Keys(catalog()))
	for name := range rowFunctions {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Values(slices.Compact(names))
}

// call compiles a call of a function.
func (c *compiler) call(n ast.Node, name string, arguments []ast.Node) node {
	at := call{n, name, arguments}
	f, ok := catalog()[name]
	if !ok {
		if r, ok := rowFunctions[name]; ok {
			return c.rowCall(at, r)
		}
		panic(problemAt(n, "there is no function %s", name).withHint(spelling.Hint(name, functionNames())))
	}
	if len(arguments) < f.min || len(arguments) > f.max {
		panic(problemAt(n, "%s takes %s, not %d", name, countOf(f.min, f.max), len(arguments)))
	}
	args := make([]node, len(arguments))
	for i, a := range arguments {
		if args[i] = c.compile(a); f.types.of != nil {
			expect(a, name, f.types, args[i])
		}
	}
	return f.make(c, at, args)
}

func countOf(least, most int) string {
	switch {
	case most == many:
		return fmt.Sprintf("%d or more arguments", least)
	case least == most && least == 1:
		return "1 argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

func makeAbs(_ *compiler, _ call, args []node) node {
	if args[0].typ() == table.Float64 {
		return floatFunction(math.Abs, args[0])
	}
	// max(x, 0-x), which is null for the one int64 without a negative.
	return intArithmetic("max", args[0], intArithmetic("-", newInt(table.Int64, 0), args[0]))
}

func ofFloat(fn func(float64) float64) func(*compiler, call, []node) node {
	return func(_ *compiler, _ call, args []node) node { return floatFunction(fn, args[0]) }
}

// ofNumbers folds the numbers with the operator of the function's name.
func ofNumbers(_ *compiler, n call, args []node) node {
	join := intArithmetic
	if slices.ContainsFunc(args, func(a node) bool { return a.typ() == table.Float64 }) {
		join = floatArithmetic
	}
	out := args[0]
	for _, a := range args[1:] {
		out = join(n.name, out, a)
	}
	return out
}

func makeInt(c *compiler, n call, args []node) node {
	switch args[0].typ() {
	case table.Float64:
		return apply(table.Int64, toInts, args[0])
	case table.String:
		return c.rowCall(n, rowFunctions["int"])
	}
	return args[0]
}

func makeFloat(c *compiler, n call, args []node) node {
	if args[0].typ() == table.String {
		return c.rowCall(n, rowFunctions["float"])
	}
	return asFloat(args[0])
}

func makeString(c *compiler, n call, args []node) node {
	if args[0].typ() == table.String {
		return args[0]
	}
	return c.rowCall(n, textOf[args[0].typ()])
}

func ofText(fn func(string) string) func(*compiler, call, []node) node {
	return func(_ *compiler, _ call, args []node) node { return entryMap(args[0], fn) }
}

func makeTrim(c *compiler, n call, args []node) node {
	if len(args) == 1 {
		return entryMap(args[0], strings.TrimSpace)
	}
	return c.rowCall(n, rowFunctions["trim"])
}

func makeLen(_ *compiler, _ call, args []node) node {
	return entryCount(args[0], func(s string) int64 { return int64(utf8.RuneCountInString(s)) })
}

func makeCoalesce(_ *compiler, n call, args []node) node { return firstKnown(n, n.name, args) }

func makeClock(c *compiler, n call, args []node) node { return clock(n.name, c.zone, args[0]) }
