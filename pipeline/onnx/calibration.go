package onnx

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/calibration"
)

// calibrated makes probabilities of what the model says, as Calibration.Apply does.
func (x *exporter) calibrated(raw value, c *calibration.Calibration) (value, error) {
	z := x.cast(raw, float64Type)
	switch c.Method {
	case calibration.Platt, calibration.Temperature:
		z = x.cast(x.op("Add", x.op("Mul", z, x.double(c.Slope)), x.double(c.Offset)), float32Type)
		if x.artifact.Model.Outputs() == 1 {
			return x.sigmoid(z), nil
		}
		return x.softmax(z), nil
	case calibration.Isotonic:
		return x.cast(x.interpolate(x.row(z), c.X, c.Y), float32Type), nil
	}
	return "", refused("calibration", fmt.Errorf("%s has no form in ONNX", c.Method))
}

// interpolate returns, as columns, the values on the lines between points.
func (x *exporter) interpolate(z value, xs, ys []float64) value {
	last := len(xs) - 1
	points, values, column := x.doubles("outputs", xs), x.doubles("probabilities", ys), x.column(z)
	below := x.sum(x.cast(x.op("Greater", column, points), int64Type)) // how many points are
	bound := func(i value) value { return x.op("Clip", i, x.int(0), x.int(int64(last))) }
	before, at := bound(x.op("Sub", below, x.int(1))), bound(below)
	gap := x.op("Sub", x.gather(points, at), x.gather(points, before))
	part := x.op("Div", x.op("Sub", z, x.gather(points, before)), gap)
	from := x.gather(values, before)
	rise := x.op("Sub", x.gather(values, at), from)
	between := x.op("Add", from, x.op("Mul", rise, part))
	return x.column(x.op("Where", x.op("Equal", before, at), from, between))
}
