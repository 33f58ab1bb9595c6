package expression_test

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// oracle evaluates an expression row by row on the library's virtual machine:
// the parsed tree with each operator replaced by a call of a plain function
// that has the documented meaning. Values are nil, int64, float64, string,
// bool and moment.
type oracle struct {
	source  string
	program *vm.Program
}

// moment is a timestamp in microseconds.
type moment int64

// failer is what testing and rapid share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newOracle(t failer, source string, zone *time.Location) *oracle {
	t.Helper()
	config := conf.CreateNew()
	config.DisableIfOperator = true
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		t.Fatalf("oracle of %s: %v", source, err)
	}
	config = conf.CreateNew()
	config.Builtins, config.MaxNodes, config.Strict = nil, 0, false
	for name, fn := range reference(zone) {
		expr.Function(name, func(args ...any) (any, error) { return fn(args), nil })(config)
	}
	tree = &parser.Tree{Node: rewrite(tree.Node)}
	if _, err := checker.Check(tree, config); err != nil {
		t.Fatalf("oracle of %s: %v", source, err)
	}
	o := &oracle{source: source}
	if o.program, err = compiler.Compile(tree, config); err != nil {
		t.Fatalf("oracle of %s: %v", source, err)
	}
	return o
}

func (o *oracle) row(t failer, env map[string]any) any {
	t.Helper()
	v, err := vm.Run(o.program, env)
	if err != nil {
		t.Fatalf("oracle of %s for %v: %v", o.source, env, err)
	}
	return v
}

// rewrite turns operators into calls.
func rewrite(n ast.Node) ast.Node {
	called := func(name string, args ...ast.Node) ast.Node {
		for i := range args {
			args[i] = rewrite(args[i])
		}
		return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		return &ast.ConstantNode{Value: int64(n.Value)}
	case *ast.IdentifierNode:
		if n.Value == "null" {
			return &ast.NilNode{}
		}
		return &ast.IdentifierNode{Value: n.Value}
	case *ast.UnaryNode:
		return called("unary "+n.Operator, n.Node)
	case *ast.BinaryNode:
		return comparison(n, called)
	case *ast.ConditionalNode:
		return called("?:", n.Cond, n.Exp1, n.Exp2)
	case *ast.BuiltinNode:
		return called(n.Name, n.Arguments...)
	case *ast.CallNode:
		return called(n.Callee.(*ast.IdentifierNode).Value, n.Arguments...)
	case *ast.ArrayNode:
		return called("list", n.Nodes...)
	case *ast.MemberNode:
		return called("index", n.Node, n.Property)
	case *ast.SliceNode:
		return called("slice", n.Node, n.From, n.To)
	}
	return n
}

// comparison rewrites an operator of two: == and != with null are null tests.
func comparison(n *ast.BinaryNode, called func(string, ...ast.Node) ast.Node) ast.Node {
	op := n.Operator
	if op == "==" || op == "!=" {
		name := "same"
		if isNull(n.Left) || isNull(n.Right) {
			name = "null test"
		}
		test := called(name, n.Left, n.Right)
		if op == "!=" {
			return &ast.CallNode{Callee: &ast.IdentifierNode{Value: "unary not"}, Arguments: []ast.Node{test}}
		}
		return test
	}
	return called(op, n.Left, n.Right)
}

func isNull(n ast.Node) bool {
	name, ok := n.(*ast.IdentifierNode)
	return ok && name.Value == "null"
}

// reference are the functions of the language, one row at a time.
func reference(zone *time.Location) map[string]func([]any) any {
	functions := map[string]func([]any) any{
		"null test": func(a []any) any { return a[0] == nil && a[1] == nil },
		"and": func(a []any) any {
			if a[0] == false || a[1] == false {
				return false
			}
			return allKnown(a, true)
		},
		"or": func(a []any) any {
			if a[0] == true || a[1] == true {
				return true
			}
			return allKnown(a, false)
		},
		"?:": func(a []any) any {
			switch a[0] {
			case true:
				return a[1]
			case false:
				return a[2]
			}
			return nil
		},
		"coalesce": func(a []any) any {
			for _, v := range a {
				if v != nil {
					return v
				}
			}
			return nil
		},
		"list": func(a []any) any { return a },
	}
	functions["??"] = functions["coalesce"]
	strict := map[string]func([]any) any{
		"unary not":  func(a []any) any { return !a[0].(bool) },
		"unary -":    negative,
		"<":          func(a []any) any { return order(zone, a[0], a[1]) < 0 },
		"<=":         func(a []any) any { return order(zone, a[0], a[1]) <= 0 },
		">":          func(a []any) any { return order(zone, a[0], a[1]) > 0 },
		">=":         func(a []any) any { return order(zone, a[0], a[1]) >= 0 },
		"same":       func(a []any) any { return order(zone, a[0], a[1]) == 0 },
		"+":          plus,
		"-":          arithmetic((*big.Int).Sub, func(a, b float64) float64 { return a - b }),
		"*":          arithmetic((*big.Int).Mul, func(a, b float64) float64 { return a * b }),
		"/":          func(a []any) any { return finite(number(a[0]) / number(a[1])) },
		"**":         func(a []any) any { return finite(math.Pow(number(a[0]), number(a[1]))) },
		"%":          remainder,
		"in":         func(a []any) any { return member(zone, a[0], a[1].([]any)) },
		"..":         func(a []any) any { return []any{a[0], a[1], "range"} },
		"contains":   func(a []any) any { return strings.Contains(a[0].(string), a[1].(string)) },
		"startsWith": func(a []any) any { return strings.HasPrefix(a[0].(string), a[1].(string)) },
		"endsWith":   func(a []any) any { return strings.HasSuffix(a[0].(string), a[1].(string)) },
		"matches":    func(a []any) any { return regexp.MustCompile(a[1].(string)).MatchString(a[0].(string)) },
		"lower":      func(a []any) any { return strings.ToLower(a[0].(string)) },
		"upper":      func(a []any) any { return strings.ToUpper(a[0].(string)) },
		"trim":       trim,
		"trimPrefix": func(a []any) any { return strings.TrimPrefix(a[0].(string), a[1].(string)) },
		"replace":    func(a []any) any { return strings.ReplaceAll(a[0].(string), a[1].(string), a[2].(string)) },
		"len":        func(a []any) any { return int64(utf8.RuneCountInString(a[0].(string))) },
		"index":      func(a []any) any { return indexed(a[0].([]string), int(a[1].(int64))) },
		"split":      func(a []any) any { return strings.Split(a[0].(string), a[1].(string)) },
		"slice":      sliced,
		"int":        toInt,
		"float":      toFloat,
		"string":     toText,
		"abs":        absolute,
		"floor":      func(a []any) any { return finite(math.Floor(number(a[0]))) },
		"round":      func(a []any) any { return finite(math.Round(number(a[0]))) },
		"log1p":      func(a []any) any { return finite(math.Log1p(number(a[0]))) },
		"sqrt":       func(a []any) any { return finite(math.Sqrt(number(a[0]))) },
		"max":        func(a []any) any { return extreme(a, 1) },
		"min":        func(a []any) any { return extreme(a, -1) },
	}
	strict["secondsBetween"] = func(a []any) any {
		from, to := new(big.Int).SetInt64(int64(a[0].(moment))), new(big.Int).SetInt64(int64(a[1].(moment)))
		us := new(big.Int).Sub(to, from)
		if !us.IsInt64() {
			return (float64(int64(a[1].(moment))) - float64(int64(a[0].(moment)))) / 1e6
		}
		return float64(us.Int64()) / 1e6
	}
	for name, part := range map[string]func(time.Time) int{
		"year": time.Time.Year, "month": func(t time.Time) int { return int(t.Month()) }, "day": time.Time.Day,
		"hour": time.Time.Hour, "minute": time.Time.Minute, "second": time.Time.Second,
		"weekday": func(t time.Time) int { return (int(t.Weekday()) + 6) % 7 },
	} {
		strict[name] = func(a []any) any { return int64(part(time.UnixMicro(int64(a[0].(moment))).In(zone))) }
	}
	for name, fn := range strict {
		functions[name] = func(a []any) any {
			for _, v := range a {
				if v == nil {
					return nil
				}
			}
			return fn(a)
		}
	}
	return functions
}

func allKnown(a []any, value bool) any {
	if a[0] == nil || a[1] == nil {
		return nil
	}
	return value
}

func number(v any) float64 {
	if i, ok := v.(int64); ok {
		return float64(i)
	}
	return v.(float64)
}

func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}

// order compares two values as cmp.Compare does.
func order(zone *time.Location, a, b any) int {
	switch x := a.(type) {
	case moment:
		if s, ok := b.(string); ok {
			t, err := time.ParseInLocation(time.DateTime, s, zone)
			if err != nil {
				panic(err)
			}
			b = moment(t.UnixMicro())
		}
		return cmp.Compare(x, b.(moment))
	case string:
		return cmp.Compare(x, b.(string))
	case bool:
		if x == b.(bool) {
			return 0
		}
		return 1
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(number(a), number(b))
}

func arithmetic(ints func(z, x, y *big.Int) *big.Int, floats func(a, b float64) float64) func([]any) any {
	return func(a []any) any {
		x, ok := a[0].(int64)
		y, both := a[1].(int64)
		if !ok || !both {
			return finite(floats(number(a[0]), number(a[1])))
		}
		if z := ints(new(big.Int), big.NewInt(x), big.NewInt(y)); z.IsInt64() {
			return z.Int64()
		}
		return nil
	}
}

func plus(a []any) any {
	if s, ok := a[0].(string); ok {
		return s + a[1].(string)
	}
	return arithmetic((*big.Int).Add, func(a, b float64) float64 { return a + b })(a)
}

func negative(a []any) any {
	if x, ok := a[0].(float64); ok {
		return finite(-x)
	}
	return arithmetic((*big.Int).Sub, nil)([]any{int64(0), a[0]})
}

func absolute(a []any) any {
	if x, ok := a[0].(float64); ok {
		return finite(math.Abs(x))
	}
	if a[0].(int64) < 0 {
		return negative(a)
	}
	return a[0]
}

func remainder(a []any) any {
	if a[1].(int64) == 0 {
		return nil
	}
	return new(big.Int).Rem(big.NewInt(a[0].(int64)), big.NewInt(a[1].(int64))).Int64()
}

// extreme is the largest or smallest; of floats, 0 is larger than -0.
func extreme(a []any, sign int) any {
	best := a[0]
	for _, v := range a[1:] {
		if _, ok := v.(int64); ok {
			if order(nil, v, best)*sign > 0 {
				best = v
			}
		} else if sign > 0 {
			best = math.Max(best.(float64), v.(float64))
		} else {
			best = math.Min(best.(float64), v.(float64))
		}
	}
	if x, ok := best.(float64); ok {
		return finite(x)
	}
	return best
}

func member(zone *time.Location, v any, list []any) any {
	if len(list) == 3 && list[2] == "range" {
		return number(v) >= number(list[0]) && number(v) <= number(list[1])
	}
	for _, item := range list {
		if order(zone, v, item) == 0 {
			return true
		}
	}
	return false
}

func trim(a []any) any {
	if len(a) == 2 {
		return strings.Trim(a[0].(string), a[1].(string))
	}
	return strings.TrimSpace(a[0].(string))
}

func indexed(list []string, i int) any {
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

func sliced(a []any) any {
	var characters []string
	for s := a[0].(string); s != ""; {
		_, size := utf8.DecodeRuneInString(s)
		characters, s = append(characters, s[:size]), s[size:]
	}
	at := func(v any) int {
		i := int(v.(int64))
		if i < 0 {
			i += len(characters)
		}
		return min(max(i, 0), len(characters))
	}
	from, to := at(a[1]), at(a[2])
	return strings.Join(characters[from:max(from, to)], "")
}

func toInt(a []any) any {
	switch v := a[0].(type) {
	case float64:
		if f, _ := big.NewFloat(v).Int(nil); f != nil && f.IsInt64() {
			return f.Int64()
		}
		return nil
	case string:
		if i, err := strconv.ParseInt(v, 10, 64); err == nil {
			return i
		}
		return nil
	}
	return a[0]
}

func toFloat(a []any) any {
	if s, ok := a[0].(string); ok {
		if ok, _ := regexp.MatchString(`^[-+0-9.eE]*$`, s); !ok {
			return nil
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil
		}
		return f
	}
	return number(a[0])
}

func toText(a []any) any {
	if f, ok := a[0].(float64); ok {
		if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return fmt.Sprint(a[0])
}
