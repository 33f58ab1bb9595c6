package feature

import "math"

// fitRobust brings the median to 0 and the distance of the quartiles to 1, as
// scikit-learn's RobustScaler does: where the quartiles are one value and not all values
// are, the scale stays. A constant becomes 0.
func fitRobust(values []float64, m Moments) (curve []float64, shift, scale float64) {
	spread := quantile(values, 0.75) - quantile(values, 0.25)
	scale = reciprocal(spread, m)
	if scale == 0 && m.Min < m.Max && finite(spread) {
		scale = 1
	}
	return nil, quantile(values, 0.5), scale
}

// quantile returns that of values in order, of which there is at least one: where it
// lies between two, as far from the lower one as its rank says.
func quantile(values []float64, q float64) float64 {
	return ranked(values, float64(q*float64(len(values)-1)))
}

// ranked returns the value of a rank, which counts from 0.
func ranked(values []float64, rank float64) float64 {
	below := int(math.Floor(rank))
	if below >= len(values)-1 {
		return values[len(values)-1]
	}
	return lerp(values[below], values[below+1], rank-float64(below))
}

// lerp returns what lies between a and b, a for 0 and b for 1, without overflow.
func lerp(a, b, share float64) float64 {
	if a == b {
		return a
	}
	return float64(a*(1-share)) + float64(b*share)
}
