package kernel

// NewtonUnit is what derivatives are multiplied by before they are rounded to
// integers, whose sums have no order, and newtonBound what they are cut to before
// that, so that an int32 holds them.
const (
	NewtonUnit  = 1 << 24
	newtonBound = 127
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

// SquaredNewton does the same for half the squared error of z[i] as y[i].
func SquaredNewton(z, y []float32, first, second []int32) (loss float64) {
	loss = SquaredResidual(z, z, y, 1)
	first, second = first[:len(z)], second[:len(z)]
	for i, r := range z {
		first[i], second[i] = fixed(min(max(float64(r), -newtonBound), newtonBound)), NewtonUnit
	}
	return loss
}

// fixed rounds x, within the bound, to a whole number of units: half away from zero.
func fixed(x float64) int32 {
	if x < 0 {
		return int32(float64(x*NewtonUnit) - 0.5)
	}
	return int32(float64(x*NewtonUnit) + 0.5)
}
