package onnx

import "math"

// encodePeriodic is the place of a number on a circle.
func encodePeriodic(x *exporter, e encoding) error {
	c := e.data.Periodic
	v, missing := x.number(e.from)
	if c.Fill != nil {
		v = x.op("Where", missing, x.double(*c.Fill), v)
	}
	rest := x.with("Mod", []attribute{intAttribute("fmod", 1)}, v, x.double(c.Period))
	turns := x.op("Div", rest, x.double(c.Period))
	angle := x.op("Mul", turns, x.double(2*math.Pi))
	for _, ahead := range []float64{0, math.Pi / 2} { // the cosine has no kernel of float64s
		part := x.op("Sin", x.op("Add", angle, x.double(ahead)))
		if c.Fill == nil {
			part = x.op("Where", missing, x.double(0), part)
		}
		x.slots.numbers = append(x.slots.numbers, x.cast(part, float32Type))
	}
	x.indicate(e, missing)
	x.unknown(e, missing, "")
	return nil
}
