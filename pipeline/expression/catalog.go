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

// function is a line of the catalog: how a call is typed and made. args are
// compiled and min to max in number.
type function struct {
	min, max int
	make     func(c *compiler, n call, args []node) (node, *Problem)
}

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
		"abs":      {1, 1, makeAbs},
		"floor":    {1, 1, ofFloat(math.Floor)},
		"ceil":     {1, 1, ofFloat(math.Ceil)},
		"round":    {1, 1, ofFloat(math.Round)},
		"sqrt":     {1, 1, ofFloat(math.Sqrt)},
		"exp":      {1, 1, ofFloat(math.Exp)},
		"log":      {1, 1, ofFloat(math.Log)},
		"log1p":    {1, 1, ofFloat(math.Log1p)},
		"min":      {2, many, ofNumbers("min")},
		"max":      {2, many, ofNumbers("max")},
		"int":      {1, 1, makeInt},
		"float":    {1, 1, makeFloat},
		"string":   {1, 1, makeString},
		"lower":    {1, 1, ofText(strings.ToLower)},
		"upper":    {1, 1, ofText(strings.ToUpper)},
		"trim":     {1, 2, makeTrim},
		"len":      {1, 1, makeLen},
		"coalesce": {2, many, makeCoalesce},
	}
	for part := range clockParts {
		functions[part] = function{1, 1, makeClock}
	}
	return functions
}

// isFunction reports whether there is a function of that name.
func isFunction(name string) bool {
	for known := range functionNames() {
		if known == name {
			return true
		}
	}
	return false
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
func (c *compiler) call(n ast.Node, name string, arguments []ast.Node) (node, *Problem) {
	at := call{n, name, arguments}
	f, ok := catalog()[name]
	if !ok {
		if r, ok := rowFunctions[name]; ok {
			return c.rowCall(at, r)
		}
		p := problemAt(n, "there is no function %s", name)
		p.Hint = spelling.Hint(name, functionNames())
		return nil, p
	}
	if len(arguments) < f.min || len(arguments) > f.max {
		return nil, problemAt(n, "%s takes %s, not %d", name, countOf(f.min, f.max), len(arguments))
	}
	args := make([]node, len(arguments))
	for i, a := range arguments {
		var p *Problem
		if args[i], p = c.compile(a); p != nil {
			return nil, p
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

func makeAbs(c *compiler, n call, args []node) (node, *Problem) {
	switch args[0].typ() {
	case table.Float64:
		return &floatFunction{math.Abs, args[0]}, nil
	case table.Int64:
		// max(x, 0-x), which is null for the one int64 without a negative.
		return &intArithmetic{intOps["max"], args[0], &intArithmetic{intOps["-"], newInt(table.Int64, 0), args[0]}}, nil
	}
	return nil, wants(n.args[0], n.name, "a number", args[0])
}

func ofFloat(fn func(float64) float64) func(*compiler, call, []node) (node, *Problem) {
	return func(_ *compiler, n call, args []node) (node, *Problem) {
		if !isNumber(args[0].typ()) {
			return nil, wants(n.args[0], n.name, "a number", args[0])
		}
		return &floatFunction{fn, args[0]}, nil
	}
}

func ofNumbers(op string) func(*compiler, call, []node) (node, *Problem) {
	return func(_ *compiler, n call, args []node) (node, *Problem) {
		ints := true
		for i, a := range args {
			if !isNumber(a.typ()) {
				return nil, wants(n.args[i], n.name, "numbers", a)
			}
			ints = ints && a.typ() == table.Int64
		}
		out := args[0]
		for _, a := range args[1:] {
			if ints {
				out = &intArithmetic{intOps[op], out, a}
			} else {
				out = &floatArithmetic{floatOps[op], out, a}
			}
		}
		return out, nil
	}
}

func makeInt(c *compiler, n call, args []node) (node, *Problem) {
	switch args[0].typ() {
	case table.Int64:
		return args[0], nil
	case table.Float64:
		return &toInt{args[0]}, nil
	case table.String:
		return c.rowCall(n, rowFunctions["int"])
	}
	return nil, wants(n.args[0], n.name, "a number or a string", args[0])
}

func makeFloat(c *compiler, n call, args []node) (node, *Problem) {
	switch args[0].typ() {
	case table.Float64:
		return args[0], nil
	case table.Int64:
		return &toFloat{args[0]}, nil
	case table.String:
		return c.rowCall(n, rowFunctions["float"])
	}
	return nil, wants(n.args[0], n.name, "a number or a string", args[0])
}

func makeString(c *compiler, n call, args []node) (node, *Problem) {
	if args[0].typ() == table.String {
		return args[0], nil
	}
	if f, ok := textOf[args[0].typ()]; ok {
		return c.rowCall(n, f)
	}
	return nil, wants(n.args[0], n.name, "a number, a bool or a string", args[0])
}

func ofText(fn func(string) string) func(*compiler, call, []node) (node, *Problem) {
	return func(_ *compiler, n call, args []node) (node, *Problem) {
		if args[0].typ() != table.String {
			return nil, wants(n.args[0], n.name, "a string", args[0])
		}
		return &entryMap{args[0], fn}, nil
	}
}

func makeTrim(c *compiler, n call, args []node) (node, *Problem) {
	if len(args) == 1 {
		return ofText(strings.TrimSpace)(c, n, args)
	}
	return c.rowCall(n, rowFunctions["trim"])
}

func makeLen(_ *compiler, n call, args []node) (node, *Problem) {
	if args[0].typ() != table.String {
		return nil, wants(n.args[0], n.name, "a string", args[0])
	}
	return &entryCount{args[0], func(s string) int64 { return int64(utf8.RuneCountInString(s)) }}, nil
}

func makeCoalesce(c *compiler, n call, args []node) (node, *Problem) {
	return c.coalesce(n, n.name, args)
}

func makeClock(c *compiler, n call, args []node) (node, *Problem) {
	if args[0].typ() != table.Timestamp {
		return nil, wants(n.args[0], n.name, "a timestamp", args[0])
	}
	return &clock{part: n.name, of: clockParts[n.name], zone: c.zone, arg: args[0]}, nil
}
