package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Language describes expressions. Its examples are of the row of Sample.
type Language struct {
	Rules     []Rule   `json:"rules"`
	Sample    []Sample `json:"sample"`
	Operators []Entry  `json:"operators"`
	Functions []Entry  `json:"functions"`
}

// Rule is what holds for all expressions, by subject.
type Rule struct {
	About string   `json:"about"`
	Says  []string `json:"says"`
}

// Sample is a column of the row of which the examples are.
type Sample struct {
	Name  string     `json:"name"`
	Type  table.Type `json:"type"`
	Value string     `json:"value"`
}

// Entry is an operator, a function, or several that differ in name alone.
type Entry struct {
	Names   []string `json:"names"`
	Forms   []string `json:"forms"`
	Takes   string   `json:"takes"`
	Yields  string   `json:"yields"`
	Meaning string   `json:"meaning"`
	// Example yields Value.
	Example string `json:"example"`
	Value   string `json:"value"`
}

// Explain describes the language.
func Explain() Language {
	l := Language{Rules: rules, Sample: sample, Operators: operators}
	functions := catalog()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		takes := f.types.name
		if takes == "" {
			takes = "values of one type"
		}
		l.Functions = append(l.Functions, Entry{Names: []string{name}, Forms: f.forms(name), Takes: takes, Yields: f.yields,
			Meaning: f.meaning, Example: f.example, Value: f.value})
	}
	return l
}

// ExplainOne describes the operator or function of a name.
func ExplainOne(name string) (Entry, error) {
	var names []string
	l := Explain()
	for _, e := range slices.Concat(l.Functions, l.Operators) {
		if slices.Contains(e.Names, name) {
			return e, nil
		}
		names = append(names, e.Names...)
	}
	hint := spelling.Hint(name, slices.Values(names))
	if s, ok := slips[plain(name)]; ok {
		hint = "write " + strings.NewReplacer("$1", "a", "$2", "b", "$3", "c", "$*", "a, b", "$+", "a + b", "$[]", `["a", "b"]`).Replace(s)
	} else if why := absent[plain(name)]; why != "" {
		hint = why
	}
	return Entry{}, &thalweg.Error{Op: "explain expressions", Kind: thalweg.NotFound, Subject: name, Hint: hint}
}

// sample has a value of each type, and a null.
var sample = []Sample{
	{"date", table.Timestamp, "2020-01-31 15:04:05"},
	{"delay", table.Int64, "16"},
	{"distance", table.Float64, "740.5"},
	{"origin", table.String, "JFK"},
	{"late", table.Bool, "true"},
	{"tail number", table.String, "N-12"},
	{"gate", table.String, "null"},
	{"legs", table.Float64List, "[733.0, 204.5]"},
}

var rules = []Rule{
	{"Values", []string{
		"int64: 15, -1, 1_000_000. float64: 1.5, 1e-3.",
		"string: in double or single quotes, with \\n, \\t, \\\\ and \\u00e4 as escapes: \"JFK\", 'JFK'.",
		"bool: true, false. null: null.",
		"timestamp: a string next to a timestamp is one: date >= \"2020-01-31\", \"2020-01-31 15:04:05\", or an RFC 3339 time. It is read in the zone of the pipeline.",
		"An int64 next to a float64 counts as one. Nothing else is converted by itself.",
		"Lists are columns alone: x[i] and len(x) make values of them, x == null tests for one that is not there, and nothing else takes them.",
	}},
	{"Columns", []string{
		"A column is written as it is called: delay. Upper and lower case differ.",
		"A name with other characters than letters, digits and _ stands in backticks: `tail number`; a backtick in it is doubled. $env[\"tail number\"] is read too.",
		"YAML needs quotes around a value that begins with a backtick: expression: '`tail number` == \"N-12\"'.",
	}},
	{"Null", []string{
		"Null in, null out. A NaN in a column counts as null.",
		"Not so: == null and != null, which test for it; ?? and coalesce, which take the first that is not null; and, or (false and null is false, true or null is true, as in SQL); c ? a : b, which looks only at the branch that it takes.",
		"Null too: an int64 beyond 64 bits, a float64 that is not finite (hence x / 0), and a conversion that has no result.",
	}},
	{"Bounds", []string{
		"An expression sees one row: no other rows, no clock, nothing random.",
		"It has at most 4,096 bytes of text and 512 operators, operands and calls; the strings that it makes of one batch have at most 256 MiB.",
	}},
}

// operators in the order in which they bind, the tightest first.
var operators = []Entry{
	{[]string{"[]"}, []string{"s[from:to]", "s[:to]", "s[from:]"}, "a string and int64", "string",
		"The characters from one place up to another, counted from 0, from behind where negative.", "origin[0:2]", `"JF"`},
	{[]string{"[i]"}, []string{"x[i]"}, "a list and an int64", "the type of the elements",
		"The element in a place, counted from 0, from behind where negative; null beyond the ends.", "legs[0]", "733.0"},
	{[]string{"??"}, []string{"a ?? b"}, "values of one type", "their type", "The first that is not null.", `gate ?? "none"`, `"none"`},
	{[]string{"**", "^"}, []string{"a ** b", "a ^ b"}, "numbers", "float64", "To the power of.", "delay ** 2", "256.0"},
	{[]string{"-x", "+x"}, []string{"-x", "+x"}, "a number", "its type", "Sign.", "-delay", "-16"},
	{[]string{"*"}, []string{"a * b"}, "numbers", "int64, or float64 if one of them is", "Product.", "delay * 2", "32"},
	{[]string{"/"}, []string{"a / b"}, "numbers", "float64", "Quotient; null where b is 0.", "delay / 5", "3.2"},
	{[]string{"%"}, []string{"a % b"}, "int64", "int64", "Remainder, with the sign of a; null where b is 0.", "delay % 5", "1"},
	{[]string{"not", "!"}, []string{"not b", "!b"}, "a bool", "bool", "Turns true and false round. It binds tighter than a comparison: not (delay > 15).", "not (delay > 15)", "false"},
	{[]string{"+", "-"}, []string{"a + b", "a - b"}, "two numbers; + also two strings", "int64, float64 if one of them is, or string",
		"Sum, difference; joins strings.", `origin + "-" + string(delay)`, `"JFK-16"`},
	{[]string{"==", "!="}, []string{"a == b", "a != b", "a == null", "a != null"}, "two values of one type, or null", "bool", "Equal, not equal; null or not.", "gate == null", "true"},
	{[]string{"<", "<=", ">", ">="}, []string{"a < b", "a <= b", "a > b", "a >= b", "a <= b < c"}, "two numbers, strings or timestamps", "bool", "Order.", "10 < delay <= 20", "true"},
	{[]string{"in", "not in"}, []string{`a in ["x", "y"]`, "a in 6..9", `a not in ["x"]`}, "a value and a list of literals of its type, or a range with both its ends", "bool",
		"Whether it is one of these.", `origin in ["JFK", "LAX"]`, "true"},
	{[]string{"contains", "startsWith", "endsWith"}, []string{"s contains t", "s startsWith t", "s endsWith t", "s not contains t"}, "strings", "bool",
		"Whether the text holds, begins or ends with the other.", `origin startsWith "J"`, "true"},
	{[]string{"matches"}, []string{"s matches pattern", "s not matches pattern"}, "a string and a literal RE2 pattern", "bool",
		"Whether the pattern is somewhere in the text; ^ and $ tie it to the ends.", `origin matches "^[A-Z]{3}$"`, "true"},
	{[]string{"and", "&&"}, []string{"a and b", "a && b"}, "bools", "bool", "Both.", "late and delay > 15", "true"},
	{[]string{"or", "||"}, []string{"a or b", "a || b"}, "bools", "bool", "One or both.", "late or delay > 60", "true"},
	{[]string{"?:"}, []string{"c ? a : b"}, "a bool and two values of one type", "their type", "a where c is true, b where it is false, null where it is null.",
		`delay > 60 ? "long" : "short"`, `"short"`},
}
