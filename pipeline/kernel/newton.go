package kernel

import "math"

// NewtonUnit is what derivatives are multiplied by before they are rounded to
// integers, whose sums have no order, and NewtonBound what they are cut to before
// that, so that an int32 holds them.
const (
	NewtonUnit  = 1 << 24
	NewtonBound = 127
)

// LogisticNewton sets first[i] and second[i] to the derivatives of the log loss by
// the logit z[i], y being 0 or 1, in units of 2^-24, overwrites z, and returns the
// sum of the rows' log losses.
func LogisticNewton(z, y []float32, first, second []int32) (loss float64) {
	loss = LogisticResidual(z, z, y, 1)
	first, second, y = first[:len(z)], second[:len(z)], y[:len(z)]
	for i, r := range z {
		p := float64(r) + float64(y[i])
		first[i] = fixed(float64(r))
		second[i] = fixed(float64(p * (1 - p)))
	}
	return loss
}

// MaxNewtonWeight bounds the weight of rows, so that their derivatives are within
// NewtonBound.
const MaxNewtonWeight = 64

// WeightedLogisticNewton is LogisticNewton with the rows whose y is 1 times weight.
// Beyond MaxNewtonWeight the other rows' derivatives are divided instead.
func WeightedLogisticNewton(z, y []float32, first, second []int32, weight float32) (loss float64) {
	loss = WeightedLogisticResidual(z, z, y, 1, weight)
	weights := [2]float64{1, float64(weight)}
	if weight > MaxNewtonWeight {
		weights = [2]float64{MaxNewtonWeight / float64(weight), MaxNewtonWeight}
	}
	first, second, y = first[:len(z)], second[:len(z)], y[:len(z)]
	for i, r := range z {
		w, r := weights[0], float64(r)
		if y[i] != 0 {
			w = weights[1]
			r /= float64(weight)
		}
		p := r + float64(y[i])
		first[i] = fixed(float64(r * w))
		second[i] = fixed(float64(float64(p*(1-p)) * w))
	}
	return loss
}

// SquaredNewton does the same for half the squared error of z[i] as y[i].
func SquaredNewton(z, y []float32, first, second []int32) (loss float64) {
	loss = SquaredResidual(z, z, y, 1)
	FirstNewton(z, first, second)
	return loss
}

// FirstNewton sets first to the derivatives r, within the bound, and second to 1, in the
// same units.
func FirstNewton(r []float32, first, second []int32) {
	first, second = first[:len(r)], second[:len(r)]
	for i, v := range r {
		first[i], second[i] = fixed(min(max(float64(v), -NewtonBound), NewtonBound)), NewtonUnit
	}
}

// PoissonNewton does the same for half the Poisson deviance of y[i] from e^z[i],
// derivatives times unit, which brings them within the bound. The second is e^0.7 times
// what it is, which keeps a step from overshooting, as in LightGBM.
func PoissonNewton(z, y []float32, first, second []int32, unit float64) (loss float64) {
	const cautious = 2.0137527074704766
	first, second, y = first[:len(z)], second[:len(z)], y[:len(z)]
	for i, v := range z {
		mean := float64(exp(v))
		loss += HalfDeviance(float64(y[i]), mean)
		first[i] = fixed(min(max(float64((mean-float64(y[i]))*unit), -NewtonBound), NewtonBound))
		second[i] = fixed(min(float64(mean*float64(unit*cautious)), NewtonBound))
	}
	return loss
}

// SoftmaxNewton does the same for the log loss of rows with a value for each class:
// first[k*rows+i] and second[k*rows+i] are the derivatives by row i's value of class k.
// The second is classes/(classes-1) times what it is, since values of a row move
// together (Friedman 2001).
func SoftmaxNewton(z, labels []float32, classes int, first, second []int32) (loss float64) {
	loss = SoftmaxResidual(z, labels, classes, 1)
	rows, together := len(labels), float64(classes)/float64(max(classes-1, 1))
	for i, y := range labels {
		for k, r := range z[i*classes : (i+1)*classes] {
			p := float64(r)
			if k == int(y) {
				p++
			}
			first[k*rows+i] = fixed(float64(r))
			second[k*rows+i] = fixed(float64(float64(p*(1-p)) * together))
		}
	}
	return loss
}

// fixed rounds x, within the bound, to a whole number of units: half away from zero.
// It has no branch, as the signs of derivatives cannot be foretold.
func fixed(x float64) int32 { return int32(float64(x*NewtonUnit) + math.Copysign(0.5, x)) }
