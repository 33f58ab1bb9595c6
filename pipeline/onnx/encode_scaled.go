package onnx

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline/feature"
)

// encodeScaled is a number as it is normalised.
func encodeScaled(x *exporter, e encoding) error {
	v, missing := x.number(e.from)
	slot, err := x.scaled(v, missing, e, []feature.Number{*e.data.Number}, false)
	if err != nil {
		return err
	}
	x.slots.numbers = append(x.slots.numbers, slot)
	x.indicate(e, missing)
	x.unknown(e, missing, "")
	return nil
}

// indicate adds the slot that says whether a number is missing, if there is one.
func (x *exporter) indicate(e encoding, missing value) {
	if e.data.Indicator {
		x.slots.numbers = append(x.slots.numbers, x.cast(missing, float32Type))
	}
}

// scaled normalises numbers, or the elements of lists, each in its way.
func (x *exporter) scaled(v, missing value, e encoding, numbers []feature.Number, list bool) (value, error) {
	each := func(name string, of func(n *feature.Number) float64) value {
		if !list {
			return x.double(of(&numbers[0]))
		}
		all := make([]float64, len(numbers))
		for i := range numbers {
			all[i] = of(&numbers[i])
		}
		return x.doubles(name, all)
	}
	v = x.op("Where", missing, each("fill", func(n *feature.Number) float64 { return n.Fill }), v)
	n := &numbers[0]
	warp, ok := warps()[n.Normalization]
	switch {
	case !ok:
		return "", refused("feature "+e.Name, fmt.Errorf("normalization %s has no form in ONNX", n.Normalization))
	case warp != nil:
		v = warp(x, v, n)
	}
	constant := false
	for i := range numbers {
		constant = constant || numbers[i].Scale == 0
	}
	v = x.op("Sub", v, each("shift", func(n *feature.Number) float64 { return n.Shift }))
	v = x.op("Mul", v, each("scale", func(n *feature.Number) float64 { return n.Scale }))
	if constant { // a difference that overflowed, times 0
		v = x.op("Where", x.op("IsNaN", v), x.double(0), v)
	}
	return x.cast(x.op("Clip", v, x.double(-feature.MaxNumber), x.double(feature.MaxNumber)), float32Type), nil
}

// clip is what Clip above does.
func clip(y float64) float64 {
	if y != y {
		return 0
	}
	return max(-feature.MaxNumber, min(feature.MaxNumber, y))
}

// warps are what normalizations do before shift and scale, by name; nil: nothing.
func warps() map[string]func(x *exporter, v value, n *feature.Number) value {
	return map[string]func(x *exporter, v value, n *feature.Number) value{
		"": nil, "none": nil, "zscore": nil, "minmax": nil, "robust": nil,
		"log1p":    warpLog1p,
		"power":    warpPower,
		"quantile": warpQuantile,
	}
}

func warpLog1p(x *exporter, v value, _ *feature.Number) value {
	return x.op("Mul", x.op("Sign", v), x.log1p(x.op("Abs", v)))
}

// log1p is kernel.Log1p: what the sum 1+a lost is made up for by the factor.
func (x *exporter) log1p(a value) value {
	one := x.double(1)
	u := x.op("Add", a, one)
	log := x.op("Mul", x.op("Log", u), x.op("Div", a, x.op("Sub", u, one)))
	return x.op("Where", x.op("Equal", u, one), a, log)
}

// expm1 is kernel.Expm1.
func (x *exporter) expm1(v value) value {
	one := x.double(1)
	u := x.op("Exp", v)
	d := x.op("Sub", u, one)
	far := x.op("Or", x.op("Equal", d, x.double(-1)), x.op("IsInf", u))
	near := x.op("Where", far, d, x.op("Mul", d, x.op("Div", v, x.op("Log", u))))
	return x.op("Where", x.op("Equal", u, one), v, near)
}

// warpPower is the transformation of Yeo and Johnson.
func warpPower(x *exporter, v value, n *feature.Number) value {
	if n.Curve == nil { // of no training values
		return v
	}
	a := x.op("Abs", v)
	raised := func(power float64) value {
		switch log := x.log1p(a); power {
		case 0:
			return log
		case 1:
			return a
		default:
			return x.op("Div", x.expm1(x.op("Mul", log, x.double(power))), x.double(power))
		}
	}
	below := x.op("Less", v, x.double(0))
	return x.op("Where", below, x.op("Neg", raised(2-n.Curve[0])), raised(n.Curve[0]))
}

// warpQuantile is the share of training values below a value.
func warpQuantile(x *exporter, v value, n *feature.Number) value {
	if n.Curve == nil {
		return v
	}
	last := len(n.Curve) - 1
	first, end := x.op("LessOrEqual", v, x.double(n.Curve[0])), x.op("GreaterOrEqual", v, x.double(n.Curve[last]))
	within := x.double(0)
	if last > 0 {
		ranks := make([]float64, last+1)
		for i := range ranks {
			ranks[i] = float64(i) / float64(last)
		}
		curve, rank := x.doubles("curve", n.Curve), x.doubles("ranks", ranks)
		column := x.column(v)
		count := func(compare string) value { return x.sum(x.cast(x.op(compare, column, curve), int64Type)) }
		below, upto := count("Greater"), count("GreaterOrEqual")
		one := x.int(1)
		bound := func(i value) value { return x.op("Clip", i, x.int(0), x.int(int64(last))) }
		before, at, equal := bound(x.op("Sub", below, one)), bound(below), bound(x.op("Sub", upto, one))
		half := func(i value) value { return x.op("Div", x.gather(curve, i), x.double(2)) }
		a := half(before)
		share := x.op("Div", x.op("Sub", x.op("Div", v, x.double(2)), a), x.op("Sub", half(at), a))
		between := x.op("Add", x.op("Mul", x.gather(rank, before), x.op("Sub", x.double(1), share)), x.op("Mul", x.gather(rank, at), share))
		middle := x.op("Div", x.op("Add", x.gather(rank, at), x.gather(rank, equal)), x.double(2))
		within = x.op("Where", x.op("Greater", upto, below), middle, between)
	}
	return x.op("Where", first, x.double(0), x.op("Where", end, x.double(1), within))
}

// notANumber stands for a missing number that trees tell from others.
var notANumber = math.NaN()
