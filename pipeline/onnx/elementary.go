package onnx

import "github.com/thalweg/thalweg/pipeline/kernel"

// exp is e to the power of float32s times a sign, as package kernel computes it, operation
// after operation: so predictions have its bits, and not those of the runtime's own.
func (x *exporter) exp(v value, sign float32) value {
	add := func(a value, c float32) value { return x.op("Add", a, x.float(c)) }
	mul := func(a value, c float32) value { return x.op("Mul", a, x.float(c)) }
	v = x.op("Clip", v, x.float(-kernel.LogitBound), x.float(kernel.LogitBound))
	t := mul(v, sign*kernel.Log2E)
	whole := x.op("Sub", add(t, kernel.RoundMagic), x.float(kernel.RoundMagic))
	f := x.op("Sub", t, whole)
	f2 := x.op("Mul", f, f)
	low, mid := add(mul(f, kernel.Exp1), 1), add(mul(f, kernel.Exp3), kernel.Exp2)
	high := x.op("Add", mul(f2, kernel.Exp6), add(mul(f, kernel.Exp5), kernel.Exp4))
	p := x.op("Add", x.op("Mul", x.op("Add", x.op("Mul", high, f2), mid), f2), low)
	return x.op("Mul", p, x.op("Pow", x.float(2), whole))
}

// sigmoid is kernel.Sigmoid.
func (x *exporter) sigmoid(v value) value {
	return x.op("Div", x.float(1), x.op("Add", x.float(1), x.exp(v, -1)))
}

// tanh is kernel.Tanh.
func (x *exporter) tanh(v value) value {
	two := x.float(2)
	return x.op("Sub", x.op("Mul", x.sigmoid(x.op("Mul", v, two)), two), x.float(1))
}

// gelu is kernel.GELU.
func (x *exporter) gelu(v value) value {
	u := x.op("Mul", v, x.op("Add", x.op("Mul", x.op("Mul", v, v), x.float(kernel.GELU3)), x.float(kernel.GELU1)))
	return x.op("Mul", v, x.sigmoid(u))
}

// softmax is kernel.Softmax but for the order in which a row is added up.
func (x *exporter) softmax(v value) value {
	axis := x.ints("axis", 1)
	e := x.exp(x.op("Sub", v, x.op("ReduceMax", v, axis)), 1)
	return x.op("Div", e, x.op("ReduceSum", e, axis))
}
