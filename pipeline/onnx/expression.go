package onnx

import (
	"time"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// expression returns the values of an expression: computed in the graph, where that gives
// its bits, else those of an input.
func (x *exporter) expression(p *expression.Program, width int) (operand, error) {
	t := p.Tree()
	if t == nil || !computes(t, p.Zone()) {
		return x.input(Input{Name: p.Source(), Type: p.Type(), Width: width, Expression: true})
	}
	o, err := x.evaluate(t, width)
	if err != nil || t.Op == "column" {
		return o, err
	}
	if o.of == table.Bool {
		o.v = x.cast(o.v, int64Type)
	}
	// A value of each row, whatever it was made of.
	nowhere := x.op("And", x.operands[firstColumn(t)].null, x.bool(false))
	o.null = x.op("Or", o.null, nowhere)
	return o, nil
}

func firstColumn(t *expression.Tree) string {
	if t.Op == "column" {
		return t.Column
	}
	for _, a := range t.Args {
		if name := firstColumn(a); name != "" {
			return name
		}
	}
	return ""
}

// operation adds an operator or a function to the graph. The values of bools are bools, and
// that of a null is any.
type operation func(x *exporter, t *expression.Tree, args []operand) operand

// operationOf returns the operation that has the bits of package expression's, nil where there
// is none: of logarithms and powers, which runtimes round otherwise, of timestamps in other
// zones than UTC, and of most of what is done to texts.
func operationOf(t *expression.Tree, zone *time.Location) operation {
	types := map[table.Type]bool{}
	for _, a := range t.Args {
		types[a.Type] = true
	}
	only := func(of ...table.Type) bool {
		n := 0
		for _, o := range of {
			if types[o] {
				n++
			}
		}
		return n == len(types)
	}
	ints, numbers := only(table.Int64), only(table.Int64, table.Float64)
	switch t.Op {
	case "hour", "minute", "second", "weekday", "year", "month", "day":
		if zone == time.UTC {
			return clockParts()[t.Op]
		}
	case "secondsBetween":
		return secondsBetween
	case "+", "-":
		switch {
		case len(t.Args) == 1 && t.Op == "+":
			return func(_ *exporter, _ *expression.Tree, args []operand) operand { return args[0] }
		case ints:
			return addInts
		case numbers:
			return floatOperation
		case only(table.String):
			return concatenate
		}
	case "*", "min", "max":
		switch {
		case ints && t.Op == "*":
			return multiplyInts
		case ints:
			return func(x *exporter, t *expression.Tree, args []operand) operand {
				return x.fold(t, args, map[string]string{"min": "Min", "max": "Max"}[t.Op])
			}
		case numbers:
			return floatOperation
		}
	case "/":
		return floatOperation
	case "%":
		return remainder
	case "abs", "floor", "ceil", "round", "sqrt":
		if numbers {
			return floatFunction
		}
	case "int":
		if numbers {
			return toInts
		}
	case "float":
		if numbers {
			return func(x *exporter, _ *expression.Tree, args []operand) operand { return x.float64s(args[0]) }
		}
	case "==", "!=", "<", "<=", ">", ">=":
		if equality := t.Op == "==" || t.Op == "!="; equality || numbers || only(table.Timestamp) {
			return compare
		}
	case "in":
		return isIn
	case "and", "or":
		return logic
	case "not":
		return func(x *exporter, _ *expression.Tree, args []operand) operand {
			return operand{of: table.Bool, v: x.op("Not", args[0].v), null: args[0].null, width: 1}
		}
	case "?:":
		return choose
	case "??", "coalesce":
		return firstKnown
	case "string":
		if ints || only(table.Bool) || only(table.String) {
			return toText
		}
	}
	return nil
}

// computes reports whether the graph can compute an expression to the bit.
func computes(t *expression.Tree, zone *time.Location) bool {
	if t.Op == "column" || t.Op == "literal" {
		return true
	}
	for _, a := range t.Args {
		if !computes(a, zone) || a.Type.Element() != "" {
			return false
		}
	}
	return operationOf(t, zone) != nil
}

// evaluate adds an expression to the graph.
func (x *exporter) evaluate(t *expression.Tree, width int) (operand, error) {
	switch t.Op {
	case "column":
		return x.input(Input{Name: t.Column, Type: t.Type, Width: width})
	case "literal":
		return x.literal(t), nil
	}
	args := make([]operand, len(t.Args))
	for i, a := range t.Args {
		var err error
		if args[i], err = x.evaluate(a, 1); err != nil {
			return operand{}, err
		}
		if a.Op == "column" && a.Type == table.Bool {
			args[i].v = x.op("Equal", args[i].v, x.int(1))
		}
	}
	o := operationOf(t, time.UTC)(x, t, args) // computes has looked
	o.of, o.width = t.Type, 1
	return o, nil
}

// literal is a value for all rows; the literal null has none.
func (x *exporter) literal(t *expression.Tree) operand {
	o := operand{of: t.Type, null: x.bool(false), width: 1}
	switch v := t.Value.(type) {
	case int64:
		o.v = x.int(v)
	case float64:
		o.v = x.double(v)
	case bool:
		o.v = x.bool(v)
	case string:
		o.v = x.texts("text", []string{v})
	default:
		o.null = x.bool(true)
	}
	return o
}

// eitherNull is where one of them is null.
func (x *exporter) eitherNull(args ...operand) value {
	null := args[0].null
	for _, a := range args[1:] {
		if a.null != null {
			null = x.op("Or", null, a.null)
		}
	}
	return null
}

// as returns an operand as one of a type: numbers as float64s, and of the literal null any
// value of it.
func (x *exporter) as(of table.Type, o operand) operand {
	switch {
	case o.of == of:
	case of == table.Float64 && o.of == table.Int64:
		return x.float64s(o)
	case o.of == "":
		zero := map[table.Type]any{table.String: "", table.Bool: false, table.Float64: 0.0, table.Int64: int64(0), table.Timestamp: int64(0)}
		null := o.null
		o = x.literal(&expression.Tree{Type: of, Value: zero[of]})
		o.null = null
	}
	return o
}

// float64s returns numbers as float64s.
func (x *exporter) float64s(o operand) operand {
	if o.of == table.Int64 {
		o.of, o.v = table.Float64, x.cast(o.v, float64Type)
	}
	return o
}

// where is a where c is true, else b.
func (x *exporter) where(of table.Type, c, a, b value) value {
	if of != table.Bool {
		return x.op("Where", c, a, b)
	}
	return x.op("Or", x.op("And", c, a), x.op("And", x.op("Not", c), b))
}

// choose is c ? a : b, null where c is.
func choose(x *exporter, t *expression.Tree, args []operand) operand {
	c, a, b := args[0], x.as(t.Type, args[1]), x.as(t.Type, args[2])
	return operand{v: x.where(t.Type, c.v, a.v, b.v), null: x.op("Or", c.null, x.where(table.Bool, c.v, a.null, b.null))}
}

// firstKnown is the first argument that is not null.
func firstKnown(x *exporter, t *expression.Tree, args []operand) operand {
	out := x.as(t.Type, args[len(args)-1])
	for i := len(args) - 2; i >= 0; i-- {
		a := x.as(t.Type, args[i])
		out = operand{v: x.where(t.Type, a.null, out.v, a.v), null: x.op("And", a.null, out.null)}
	}
	return out
}

// logic is and or or in the three-valued logic of SQL.
func logic(x *exporter, t *expression.Tree, args []operand) operand {
	yes := func(o operand) value { return x.op("And", o.v, x.op("Not", o.null)) }
	no := func(o operand) value { return x.op("Not", x.op("Or", o.v, o.null)) }
	a, b := args[0], args[1]
	join, other := "And", "Or"
	if t.Op == "or" {
		join, other = "Or", "And"
	}
	v := x.op(join, yes(a), yes(b))
	known := x.op("Or", v, x.op(other, no(a), no(b)))
	return operand{v: v, null: x.op("Not", known)}
}

// compare is one of the six comparisons.
func compare(x *exporter, t *expression.Tree, args []operand) operand {
	a, b := args[0], args[1]
	if a.of == "" || b.of == "" { // with the literal null
		if a.of == "" {
			a = b
		}
		v := a.null
		if t.Op == "!=" {
			v = x.op("Not", v)
		}
		return operand{v: v, null: x.bool(false)}
	}
	if a.of != b.of {
		a, b = x.float64s(a), x.float64s(b)
	}
	name, negate := map[string]string{"==": "Equal", "!=": "Equal", "<": "Less", ">": "Greater", "<=": "LessOrEqual", ">=": "GreaterOrEqual"}[t.Op], t.Op == "!="
	v := x.op(name, a.v, b.v)
	if negate {
		v = x.op("Not", v)
	}
	return operand{v: v, null: x.eitherNull(a, b)}
}

// isIn tests for membership in a list of literals.
func isIn(x *exporter, t *expression.Tree, args []operand) operand {
	any := x.bool(false)
	for i := range args[1:] {
		same := compare(x, &expression.Tree{Op: "=="}, []operand{args[0], args[i+1]})
		any = x.op("Or", any, same.v)
	}
	return operand{v: any, null: args[0].null}
}

// concatenate joins two texts.
func concatenate(x *exporter, _ *expression.Tree, args []operand) operand {
	return operand{v: x.op("StringConcat", args[0].v, args[1].v), null: x.eitherNull(args...)}
}

// toText is the text of an integer or a bool.
func toText(x *exporter, _ *expression.Tree, args []operand) operand {
	o := args[0]
	switch o.of {
	case table.Int64:
		o.v = x.cast(o.v, stringType)
	case table.Bool:
		o.v = x.op("Where", o.v, x.texts("text", []string{"true"}), x.texts("text", []string{"false"}))
	}
	return o
}
