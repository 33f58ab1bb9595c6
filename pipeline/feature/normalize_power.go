package feature

import (
	"errors"
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// maxPower bounds the exponent of a power, which is looked for from its negative to it.
const maxPower = 8

// fitPower makes the training values as normal as an exponent can, by the
// transformation of Yeo and Johnson (2000), and brings them to mean 0 and standard
// deviation 1, as scikit-learn's PowerTransformer does. A constant becomes 0.
func fitPower(values []float64, m Moments) (curve []float64, shift, scale float64) {
	if m.Min == m.Max {
		return []float64{1}, m.Min, 0
	}
	var logs float64 // by which the exponent changes the density
	for _, x := range values {
		logs += math.Copysign(kernel.Log1p(math.Abs(x)), x)
	}
	warped := make([]float64, len(values))
	warp := func(power float64) Moments {
		for i, x := range values {
			warped[i] = yeoJohnson(x, power)
		}
		return momentsOf(warped)
	}
	n := float64(len(values))
	likelihood := func(power float64) float64 {
		of := warp(power)
		if variance := of.M2 / n; variance > 0x1p-1000 && finite(variance) {
			return float64(-n/2*kernel.Log(variance)) + float64((power-1)*logs)
		}
		return math.Inf(-1)
	}
	power := highest(likelihood, -maxPower, maxPower)
	shift, scale = fitZScore(warp(power))
	return []float64{power}, shift, scale
}

// highest returns where f, which rises and then falls, is highest: it looks at a grid
// first, since f may be flat at the ends, and then by the golden section.
func highest(f func(x float64) float64, from, to float64) float64 {
	const steps, rounds, golden = 32, 44, 0.6180339887498949
	best, at := math.Inf(-1), 0
	width := (to - from) / steps
	for i := range steps + 1 {
		if y := f(from + float64(float64(i)*width)); y > best {
			best, at = y, i
		}
	}
	a, b := max(from, from+float64(float64(at-1)*width)), min(to, from+float64(float64(at+1)*width))
	x, y := b-float64(golden*(b-a)), a+float64(golden*(b-a))
	fx, fy := f(x), f(y)
	for range rounds {
		if fx >= fy {
			b, y, fy = y, x, fx
			x = b - float64(golden*(b-a))
			fx = f(x)
		} else {
			a, x, fx = x, y, fy
			y = a + float64(golden*(b-a))
			fy = f(y)
		}
	}
	return (a + b) / 2
}

// yeoJohnson is ((1+x)^power - 1)/power for x from 0 on, and for others the same of
// 2-power, mirrored.
func yeoJohnson(x, power float64) float64 {
	if x < 0 {
		return -raised(-x, 2-power)
	}
	return raised(x, power)
}

// raised is ((1+x)^power - 1)/power, of power 0 its limit.
func raised(x, power float64) float64 {
	switch log := kernel.Log1p(x); power {
	case 0:
		return log
	case 1:
		return x
	default:
		return kernel.Expm1(float64(power*log)) / power
	}
}

// powerCurve returns the transformation of an exponent.
func powerCurve(curve []float64) (func(x float64) float64, error) {
	if len(curve) != 1 || !(math.Abs(curve[0]) <= maxPower) {
		return nil, errors.New("no exponent")
	}
	power := curve[0]
	return func(x float64) float64 { return yeoJohnson(x, power) }, nil
}
