package feature

// fitZScore brings the training rows to mean 0 and standard deviation 1. A
// constant becomes 0.
func fitZScore(m Moments) (shift, scale float64) {
	return m.Mean, reciprocal(m.Deviation())
}

// reciprocal returns 1/x, or 0 where that is not finite: a feature of no
// spread says nothing, and a spread too small to divide by is none.
func reciprocal(x float64) float64 {
	if r := 1 / x; finite(r) {
		return r
	}
	return 0
}
