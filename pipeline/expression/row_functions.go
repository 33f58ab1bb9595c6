package expression

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/thalweg/thalweg/pipeline/table"
)

// rowFunction is a function that the virtual machine calls.
type rowFunction struct {
	name   string
	args   []table.Type
	result table.Type
	// signature is a nil pointer to a func of the machine's types.
	signature any
	// fn returns the result for arguments of these types, nil for null.
	fn func(args []any) any
}

// maxReplaced bounds the string that replace yields; a longer one is null.
// Replacements of replacements could else grow without bound.
const maxReplaced = 1 << 20

// maxParts bounds the parts of split; where there are more, each is null.
const maxParts = maxReplaced / stringHeader

// rowFunctions are the functions without a form for columns.
var rowFunctions = map[string]rowFunction{
	"trim":       ofTwoStrings("trim", strings.Trim),
	"trimPrefix": ofTwoStrings("trimPrefix", strings.TrimPrefix),
	"trimSuffix": ofTwoStrings("trimSuffix", strings.TrimSuffix),
	"replace": {"replace", []table.Type{table.String, table.String, table.String}, table.String,
		new(func(string, string, string) string), replaceAll},
	"split": {"split", []table.Type{table.String, table.String}, list, new(func(string, string) []string), splitAll},
	"int":   {"int", []table.Type{table.String}, table.Int64, new(func(string) int), textToInt},
	"float": {"float", []table.Type{table.String}, table.Float64, new(func(string) float64), textToFloat},
}

// textOf are the functions string(…) by the type of their argument.
var textOf = map[table.Type]rowFunction{
	table.Int64: {"string of int64", []table.Type{table.Int64}, table.String, new(func(int) string),
		func(args []any) any { return strconv.Itoa(args[0].(int)) }},
	table.Float64: {"string of float64", []table.Type{table.Float64}, table.String, new(func(float64) string), floatToText},
	table.Bool: {"string of bool", []table.Type{table.Bool}, table.String, new(func(bool) string),
		func(args []any) any { return strconv.FormatBool(args[0].(bool)) }},
}

// substring is s[from:to] by characters; a negative end counts from behind,
// and one past the string is its end.
var substring = rowFunction{"[:]", []table.Type{table.String, table.Int64, table.Int64}, table.String,
	new(func(string, int, int) string), func(args []any) any {
		s := args[0].(string)
		n := utf8.RuneCountInString(s)
		from, to := position(args[1].(int), n), position(args[2].(int), n)
		if from >= to {
			return ""
		}
		return s[offset(s, from):offset(s, to)]
	}}

func position(at, n int) int {
	if at < 0 {
		at += n
	}
	return min(max(at, 0), n)
}

// offset returns where a character of s begins.
func offset(s string, character int) int {
	for i := range s {
		if character == 0 {
			return i
		}
		character--
	}
	return len(s)
}

func ofTwoStrings(name string, fn func(a, b string) string) rowFunction {
	return rowFunction{name, []table.Type{table.String, table.String}, table.String, new(func(string, string) string),
		func(args []any) any { return fn(args[0].(string), args[1].(string)) }}
}

func replaceAll(args []any) any {
	s, old, with := args[0].(string), args[1].(string), args[2].(string)
	if len(s)+strings.Count(s, old)*(len(with)-len(old)) > maxReplaced {
		return nil
	}
	return strings.ReplaceAll(s, old, with)
}

func splitAll(args []any) any {
	parts := strings.SplitN(args[0].(string), args[1].(string), maxParts+1)
	if len(parts) > maxParts {
		return []string(nil)
	}
	return parts
}

func textToInt(args []any) any {
	v, err := strconv.ParseInt(args[0].(string), 10, 64)
	if err != nil {
		return nil
	}
	return int(v)
}

func textToFloat(args []any) any {
	if v, ok := table.ParseFloat(args[0].(string)); ok {
		return v
	}
	return nil
}

// floatToText is +Inf or -Inf for an infinity of a column.
func floatToText(args []any) any {
	v := args[0].(float64)
	if text, ok := table.AppendFloat(nil, v); ok {
		return string(text)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
