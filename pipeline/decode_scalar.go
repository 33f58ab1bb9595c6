package pipeline

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// plainNumber is a number in YAML's core schema, of which the library takes 1e-3
// and those beyond 64 bits for strings; oddZeros is an integer that is octal to
// some readers of YAML and decimal to others.
var (
	plainNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	oddZeros    = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
)

// isNumber reports whether a node is a number.
func isNumber(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	case *ast.StringNode:
		return n.Token.Type == token.StringType && plainNumber.MatchString(n.Value)
	}
	return false
}

// shown says what a node is, a scalar by its value unless it may be a secret.
func (d *decoder) shown(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	if d.secret {
		return "this value"
	}
	switch n := n.(type) {
	case *ast.StringNode:
		if !isNumber(n) {
			return quoteShort(n.Value)
		}
	case *ast.LiteralNode:
		return quoteShort(n.Value.Value)
	}
	return n.GetToken().Value
}

// quoteShort quotes the beginning of a string.
func quoteShort(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// scalar decodes a value that is no mapping and no list.
func (d *decoder) scalar(n ast.Node, path string, into reflect.Value) {
	if into.Kind() != reflect.String && isNumber(n) && oddZeros.MatchString(n.GetToken().Value) {
		d.problem(n, path, "", "write the number without a zero in front, or in quotes if it is a text: %s", d.shown(n))
		return
	}
	switch into := into.Addr().Interface().(type) {
	case *Duration:
		d.unit(n, path, "a duration such as 200ms or 1m", into)
		return
	case *ByteSize:
		d.unit(n, path, "a size such as 8MiB or 4096", into)
		return
	case *Count:
		d.unit(n, path, "a whole number from 1 on, or auto,", into)
		return
	case *Factor:
		d.unit(n, path, "a number above 0, or auto,", into)
		return
	case *WarmStart:
		d.unit(n, path, "none, champion or the number of a version", into)
		return
	case *Limit:
		d.unit(n, path, "a limit in quotes such as \"> 100\" or \"> 0.1%\"", into)
		return
	case *Percent:
		d.unit(n, path, "a percentage such as 5%", into)
		return
	}
	switch into.Kind() {
	case reflect.String:
		d.text(n, path, into)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			into.SetBool(b.Value)
			return
		}
		d.wrong(n, path, "true or false belongs here")
	case reflect.Int, reflect.Uint64:
		d.integer(n, path, into)
	case reflect.Float64:
		if v, ok := number(n); ok {
			into.SetFloat(v)
			return
		}
		d.wrong(n, path, "a number belongs here")
	case reflect.Interface:
		v, ok := anyScalar(n)
		_, whole := n.(*ast.IntegerNode)
		if text := fmt.Sprint(v); whole && n.GetToken().Value != text {
			d.problem(n, path, "", "write %s, or put it in quotes if it is a text: %s", text, d.shown(n))
			return
		}
		if ok {
			into.Set(reflect.ValueOf(v))
			return
		}
		d.wrong(n, path, "a string, number or bool belongs here")
	}
}

// wrong notes a value of the wrong type.
func (d *decoder) wrong(n ast.Node, path, want string) {
	d.problem(n, path, "", "%s, not %s", want, d.shown(n))
}

func (d *decoder) text(n ast.Node, path string, into reflect.Value) {
	_, isBool := n.(*ast.BoolNode)
	if isBool || isNumber(n) {
		d.problem(n, path, "put it in quotes", "a string belongs here, not %s", d.shown(n))
		return
	}
	switch n := n.(type) {
	case *ast.StringNode:
		into.SetString(n.Value)
		return
	case *ast.LiteralNode:
		into.SetString(n.Value.Value)
		return
	}
	d.wrong(n, path, "a string belongs here")
}

func (d *decoder) unit(n ast.Node, path, want string, into encoding.TextUnmarshaler) {
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode:
		text = n.GetToken().Value
	case *ast.FloatNode:
		if _, fits := into.(*Factor); !fits {
			d.wrong(n, path, want+" belongs here")
			return
		}
		text = n.GetToken().Value
	default:
		d.wrong(n, path, want+" belongs here")
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		d.problem(n, path, "", "%s belongs here, not %s", want, strconv.Quote(text))
	}
}

func (d *decoder) integer(n ast.Node, path string, into reflect.Value) {
	v, _ := anyScalar(n)
	i, small := v.(int64)
	u, large := v.(uint64)
	switch {
	case !small && !large:
		d.wrong(n, path, "a whole number belongs here")
	case small && into.CanInt() && !into.OverflowInt(i):
		into.SetInt(i)
	case small && into.CanUint() && i >= 0:
		into.SetUint(uint64(i))
	case large && into.CanUint():
		into.SetUint(u)
	default:
		d.problem(n, path, "", "the number is out of range")
	}
}

// number returns a finite number.
func number(n ast.Node) (float64, bool) {
	v, ok := anyScalar(n)
	if !ok {
		return 0, false
	}
	return ToNumber(v)
}

// anyScalar returns a string, bool, int64, uint64 beyond that, or finite float64.
func anyScalar(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		if isNumber(n) {
			v, err := strconv.ParseFloat(n.Value, 64)
			return v, err == nil
		}
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value)
	case *ast.IntegerNode:
		if v, ok := n.Value.(uint64); ok && v <= math.MaxInt64 {
			return int64(v), true
		}
		return n.Value, true
	}
	return nil, false
}
