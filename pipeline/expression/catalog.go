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

// function is a line of the catalog: the names of the arguments, of which the
// last may be optional ("s, cut?") or stand for any number ("a, b, …"), what they
// have to be, what a call yields and means, an example with its value (see
// Sample), and the node of a call with arguments like that; without make the
// function is one of rowFunctions.
type function struct {
	params  string
	types   types
	yields  string
	meaning string
	example string
	value   string
	make    func(c *compiler, n call, args []node) node
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
	strs    = types{"strings", aString.of}
	aBool   = types{"a bool", []table.Type{table.Bool}}

	aTimestamp = types{"a timestamp", []table.Type{table.Timestamp}}
	timestamps = types{"timestamps", aTimestamp.of}

	aNumberOrString = types{"a number or a string", []table.Type{table.Int64, table.Float64, table.String}}
	aStringOrList   = types{"a string or a list", []table.Type{table.String, table.Int64List, table.Float64List, table.BoolList}}
	noTimestamp     = types{"a number, a bool or a string", []table.Type{table.Int64, table.Float64, table.Bool, table.String}}
)

// call is a call in the text.
type call struct {
	ast.Node
	name string
	args []ast.Node
}

// many is the max of a function of any number of arguments.
const many = MaxNodes

// catalog returns the functions by name. To add one is a line here.
func catalog() map[string]function {
	sameType, anInt, aFloat, text := "its type", "int64", "float64", "string"
	return map[string]function{
		"abs":   {"x", aNumber, sameType, "The number without its sign.", "abs(-3)", "3", makeAbs},
		"floor": {"x", aNumber, aFloat, "The next whole number below.", "floor(distance)", "740.0", ofFloat(math.Floor)},
		"ceil":  {"x", aNumber, aFloat, "The next whole number above.", "ceil(distance)", "741.0", ofFloat(math.Ceil)},
		"round": {"x", aNumber, aFloat, "The nearest whole number; a half goes away from zero.", "round(distance)", "741.0", ofFloat(math.Round)},
		"sqrt":  {"x", aNumber, aFloat, "The square root; null of a negative number.", "sqrt(delay)", "4.0", ofFloat(math.Sqrt)},
		"exp":   {"x", aNumber, aFloat, "e to the power of x; null where that is too large.", "exp(0)", "1.0", ofFloat(math.Exp)},
		"log":   {"x", aNumber, aFloat, "The natural logarithm; null of what is not above 0.", "log(1)", "0.0", ofFloat(math.Log)},
		"log1p": {"x", aNumber, aFloat, "The natural logarithm of 1 + x.", "log1p(0)", "0.0", ofFloat(math.Log1p)},
		"min":   {"a, b, …", numbers, "int64, or float64 if one of them is", "The least of two or more; null if one is null.", "min(delay, 10)", "10", ofNumbers},
		"max":   {"a, b, …", numbers, "int64, or float64 if one of them is", "The greatest of two or more; null if one is null.", "max(delay, 10, 12.5)", "16.0", ofNumbers},

		"int":    {"x", aNumberOrString, anInt, "The whole number: a float64 is cut toward zero; null of a text that is no whole number.", `int("12")`, "12", makeInt},
		"float":  {"x", aNumberOrString, aFloat, "The number as float64; null of a text that is no number.", `float("1.5")`, "1.5", makeFloat},
		"string": {"x", noTimestamp, text, "The value as text.", "string(delay)", `"16"`, makeString},

		"lower":      {"s", aString, text, "The text in lower case.", "lower(origin)", `"jfk"`, ofText(strings.ToLower)},
		"upper":      {"s", aString, text, "The text in upper case.", `upper("ab")`, `"AB"`, ofText(strings.ToUpper)},
		"trim":       {"s, cut?", strs, text, "The text without blanks at its ends, or without the characters of cut.", `trim(" ab ")`, `"ab"`, makeTrim},
		"trimPrefix": {"s, prefix", strs, text, "The text without the prefix, if it begins with it.", `trimPrefix(origin, "J")`, `"FK"`, nil},
		"trimSuffix": {"s, suffix", strs, text, "The text without the suffix, if it ends with it.", `trimSuffix(origin, "K")`, `"JF"`, nil},
		"len":        {"s", aStringOrList, anInt, "The number of characters, or of elements.", "len(origin)", "3", makeLen},
		"replace": {"s, old, new", strs, text, "The text with each old replaced by new; null where that takes more than 1 MiB.",
			`replace(origin, "J", "K")`, `"KFK"`, nil},
		"split": {"s, by", strs, "a list of strings, of which an index takes one", "The parts between the separators, counted from 0, from behind with -1; null beyond the ends, and where there are more than 65,536.",
			"split(`tail number`, \"-\")[1]", `"12"`, nil},

		"coalesce": {"a, b, …", types{}, "their type", "The first of two or more that is not null.", "coalesce(gate, origin)", `"JFK"`, makeCoalesce},

		"year":    {"t", aTimestamp, anInt, "The year, in the zone of the pipeline.", "year(date)", "2020", makeClock},
		"month":   {"t", aTimestamp, anInt, "The month, from 1.", "month(date)", "1", makeClock},
		"day":     {"t", aTimestamp, anInt, "The day of the month, from 1.", "day(date)", "31", makeClock},
		"weekday": {"t", aTimestamp, anInt, "The day of the week, from Monday 0 to Sunday 6.", "weekday(date)", "4", makeClock},
		"hour":    {"t", aTimestamp, anInt, "The hour, from 0 to 23.", "hour(date)", "15", makeClock},
		"minute":  {"t", aTimestamp, anInt, "The minute, from 0 to 59.", "minute(date)", "4", makeClock},
		"second":  {"t", aTimestamp, anInt, "The second, from 0 to 59.", "second(date)", "5", makeClock},

		"secondsBetween": {"t, u", timestamps, aFloat, "How many seconds u is after t, with fractions, and less than 0 where it is before: a time since something.",
			"secondsBetween(date, date) / 86400", "0.0", makeSeconds},
	}
}

// arity returns how many arguments the function takes.
func (f function) arity() (least, most int) {
	names := strings.Split(f.params, ", ")
	switch last := names[len(names)-1]; {
	case last == "…":
		return len(names) - 1, many
	case strings.HasSuffix(last, "?"):
		return len(names) - 1, len(names)
	}
	return len(names), len(names)
}

// forms are the calls that there are of it: the optional argument makes two.
func (f function) forms(name string) []string {
	call := name + "(" + strings.NewReplacer("?", "", ", …", "").Replace(f.params) + ")"
	if strings.HasSuffix(f.params, "?") {
		return []string{call[:strings.LastIndex(call, ",")] + ")", call}
	}
	return []string{call}
}

// isFunction reports whether there is a function of that name.
func isFunction(name string) bool {
	_, ok := catalog()[name]
	return ok
}

// functionNames yields the names of all functions in order.
func functionNames() iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(catalog())))
}

// call compiles a call of a function.
func (c *compiler) call(n ast.Node, name string, arguments []ast.Node) node {
	at := call{n, name, arguments}
	f, ok := catalog()[name]
	if !ok {
		p := problemAt(n, "there is no function %s", name)
		if p.nearest = absent[plain(name)]; p.nearest == "" {
			p.nearest = spelling.Hint(name, functionNames())
		}
		panic(p)
	}
	if least, most := f.arity(); len(arguments) < least || len(arguments) > most {
		p := problemAt(n, "%s takes %s, not %d", name, countOf(least, most), len(arguments))
		p.nearest = "write " + strings.Join(f.forms(name), " or ")
		panic(p)
	}
	if f.make == nil {
		return c.rowCall(at, rowFunctions[name])
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
	if isList(args[0]) {
		return lengths(args[0])
	}
	return entryCount(args[0], func(s string) int64 { return int64(utf8.RuneCountInString(s)) })
}

func makeCoalesce(_ *compiler, n call, args []node) node { return firstKnown(n, n.name, args) }

func makeSeconds(_ *compiler, _ call, args []node) node { return secondsBetween(args[0], args[1]) }

func makeClock(c *compiler, n call, args []node) node { return clock(n.name, c.zone, args[0]) }
