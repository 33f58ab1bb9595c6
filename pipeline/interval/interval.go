// Package interval has the 95 % confidence intervals that estimates of shares, of metrics and
// of their differences have.
package interval

import "math"

// Z is how many standard deviations an interval of the normal distribution reaches to each
// side: the quantile of 97.5 %.
const Z = 1.959963984540054

// Of is an interval, from its low to its high end.
type Of = [2]float64

// Wilson returns the interval around a share of so many rows, of which there is at least one
// (E. B. Wilson, 1927): it is right for few rows too, and for none and all of them.
func Wilson(share float64, rows int64) Of {
	n := float64(rows)
	middle := (share + Z*Z/(2*n)) / (1 + Z*Z/n)
	half := float64(Z / (1 + Z*Z/n) * math.Sqrt(float64(share*(1-share))/n+Z*Z/(4*n*n)))
	return Of{max(0, middle-half), min(1, middle+half)}
}

// Difference returns the interval of b less a, which were measured independently, from the
// interval of each: each end is as far away as the ends of both together (R. G. Newcombe,
// 1998, method 10).
func Difference(a float64, ofA Of, b float64, ofB Of) Of {
	return Of{b - a - math.Hypot(b-ofB[0], ofA[1]-a), b - a + math.Hypot(ofB[1]-b, a-ofA[0])}
}
