package onnx

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fold joins all arguments by an operator.
func (x *exporter) fold(_ *expression.Tree, args []operand, op string) operand {
	v := args[0].v
	for _, a := range args[1:] {
		v = x.op(op, v, a.v)
	}
	return operand{v: v, null: x.eitherNull(args...)}
}

// notFinite makes what is not finite null.
func (x *exporter) notFinite(o operand) operand {
	bad := x.op("Or", x.op("IsNaN", o.v), x.op("IsInf", o.v))
	return operand{v: x.op("Where", bad, x.double(0), o.v), null: x.op("Or", o.null, bad)}
}

// floatOperation is one of two numbers as float64s; what is not finite is null.
func floatOperation(x *exporter, t *expression.Tree, args []operand) operand {
	if len(args) == 1 { // not 0 - x, which loses the sign of zero
		return x.notFinite(operand{v: x.op("Mul", x.float64s(args[0]).v, x.double(-1)), null: args[0].null})
	}
	op := map[string]string{"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "min": "Min", "max": "Max"}[t.Op]
	out := x.float64s(args[0])
	for _, a := range args[1:] {
		b := x.float64s(a)
		out = x.notFinite(operand{v: x.op(op, out.v, b.v), null: x.eitherNull(out, b)})
	}
	return out
}

// addInts adds or subtracts integers; what overflows is null.
func addInts(x *exporter, t *expression.Tree, args []operand) operand {
	if len(args) == 1 {
		args = []operand{{of: table.Int64, v: x.int(0), null: x.bool(false)}, args[0]}
	}
	a, b := args[0], args[1]
	zero := x.int(0)
	negative := func(v value) value { return x.op("Less", v, zero) }
	if t.Op == "+" {
		v := x.op("Add", a.v, b.v)
		over := x.op("And", x.op("Equal", negative(a.v), negative(b.v)), x.op("Xor", negative(a.v), negative(v)))
		return operand{v: v, null: x.op("Or", x.eitherNull(a, b), over)}
	}
	v := x.op("Sub", a.v, b.v)
	over := x.op("And", x.op("Xor", negative(a.v), negative(b.v)), x.op("Xor", negative(a.v), negative(v)))
	return operand{v: v, null: x.op("Or", x.eitherNull(a, b), over)}
}

// safe returns a divisor, with 1 for 0 and -1, which an integer cannot always be divided by,
// and where these were.
func (x *exporter) safe(v value) (divisor, zero, minus value) {
	zero, minus = x.op("Equal", v, x.int(0)), x.op("Equal", v, x.int(-1))
	return x.op("Where", x.op("Or", zero, minus), x.int(1), v), zero, minus
}

// multiplyInts multiplies integers; what overflows is null.
func multiplyInts(x *exporter, _ *expression.Tree, args []operand) operand {
	a, b := args[0], args[1]
	v := x.op("Mul", a.v, b.v)
	divisor, zero, minus := x.safe(a.v)
	fits := x.op("Or", x.op("Or", zero, minus), x.op("Equal", x.op("Div", v, divisor), b.v))
	least := x.op("And", minus, x.op("Equal", b.v, x.int(math.MinInt64)))
	return operand{v: v, null: x.op("Or", x.eitherNull(a, b), x.op("Or", x.op("Not", fits), least))}
}

// remainder is what a division toward zero leaves, null of a division by 0.
func remainder(x *exporter, _ *expression.Tree, args []operand) operand {
	a, b := args[0], args[1]
	divisor, zero, _ := x.safe(b.v)
	v := x.op("Sub", a.v, x.op("Mul", x.op("Div", a.v, divisor), divisor))
	return operand{v: v, null: x.op("Or", x.eitherNull(a, b), zero)}
}

// floatFunction is a function of a number.
func floatFunction(x *exporter, t *expression.Tree, args []operand) operand {
	o := args[0]
	if t.Op == "abs" && o.of == table.Int64 {
		return operand{v: x.op("Abs", o.v), null: x.op("Or", o.null, x.op("Equal", o.v, x.int(math.MinInt64)))}
	}
	o = x.float64s(o)
	switch t.Op {
	case "round": // a half goes away from zero
		a := x.op("Abs", o.v)
		down := x.op("Floor", a)
		half := x.cast(x.op("GreaterOrEqual", x.op("Sub", a, down), x.double(0.5)), float64Type)
		o.v = x.op("Mul", x.op("Sign", o.v), x.op("Add", down, half))
	default:
		o.v = x.op(map[string]string{"abs": "Abs", "floor": "Floor", "ceil": "Ceil", "sqrt": "Sqrt"}[t.Op], o.v)
	}
	return x.notFinite(o)
}

// toInts cuts numbers toward zero; what int64 cannot hold is null.
func toInts(x *exporter, _ *expression.Tree, args []operand) operand {
	o := args[0]
	if o.of == table.Int64 {
		return o
	}
	fits := x.op("And", x.op("GreaterOrEqual", o.v, x.double(math.MinInt64)), x.op("Less", o.v, x.double(-math.MinInt64)))
	return operand{v: x.cast(x.op("Where", fits, o.v, x.double(0)), int64Type), null: x.op("Or", o.null, x.op("Not", fits))}
}
