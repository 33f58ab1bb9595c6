package feature

import "math"

// fitZScore brings the training rows to mean 0 and standard deviation 1. A
// constant becomes 0.
func fitZScore(m Moments) (shift, scale float64) {
	return m.Mean, reciprocal(m.Deviation(), m)
}

// reciprocal returns 1/spread, or 0 where that is not finite: a feature of no
// spread says nothing. Nor does one of values that differ in their last two bits
// alone, as results of one sum taken in two orders do.
func reciprocal(spread float64, m Moments) float64 {
	rounding := math.Ldexp(math.Max(math.Abs(m.Min), math.Abs(m.Max)), -51)
	if r := 1 / spread; spread > rounding && finite(r) {
		return r
	}
	return 0
}
