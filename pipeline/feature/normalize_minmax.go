package feature

// fitMinMax brings the training rows to the range from 0 to 1; a value outside
// of what training saw falls outside of it. A constant becomes 0.
func fitMinMax(m Moments) (shift, scale float64) {
	return m.Min, reciprocal(m.Max-m.Min, m)
}
