package onnx

// The coefficients are those of kernel.Sigmoid, in float32.
const (
	logitBound = 87
	roundMagic = 12582912
	log2E      = 1.44269504088896341
	exp1       = 6.931472028550421e-1
	exp2       = 2.402264791363012e-1
	exp3       = 5.550332471162809e-2
	exp4       = 9.618437357674640e-3
	exp5       = 1.339887440266574e-3
	exp6       = 1.535336188319500e-4

	gelu1 = 1.5957691216057308
	gelu3 = 0.071354816272600
)

// exp is e to the power of float32s times a sign, as package kernel computes it, operation
// after operation: so predictions have its bits, and not those of the runtime's own.
func (x *exporter) exp(v value, sign float32) value {
	add := func(a value, c float32) value { return x.op("Add", a, x.float(c)) }
	mul := func(a value, c float32) value { return x.op("Mul", a, x.float(c)) }
	v = x.op("Clip", v, x.float(-logitBound), x.float(logitBound))
	t := mul(v, sign*log2E)
	whole := x.op("Sub", add(t, roundMagic), x.float(roundMagic))
	f := x.op("Sub", t, whole)
	f2 := x.op("Mul", f, f)
	low, mid := add(mul(f, exp1), 1), add(mul(f, exp3), exp2)
	high := x.op("Add", mul(f2, exp6), add(mul(f, exp5), exp4))
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
	u := x.op("Mul", v, x.op("Add", x.op("Mul", x.op("Mul", v, v), x.float(gelu3)), x.float(gelu1)))
	return x.op("Mul", v, x.sigmoid(u))
}

// softmax is kernel.Softmax but for the order in which a row is added up.
func (x *exporter) softmax(v value) value {
	axis := x.ints("axis", 1)
	e := x.exp(x.op("Sub", v, x.op("ReduceMax", v, axis)), 1)
	return x.op("Div", e, x.op("ReduceSum", e, axis))
}
