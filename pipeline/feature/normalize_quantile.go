package feature

import (
	"errors"
	"slices"
)

// maxQuantiles is how many quantiles a curve has, one where the values are fewer each.
const maxQuantiles = 1000

// fitQuantiles makes the training values even from 0 to 1, by their quantiles, as
// scikit-learn's QuantileTransformer does.
func fitQuantiles(values []float64, _ Moments) (curve []float64, shift, scale float64) {
	n := min(len(values), maxQuantiles)
	for i := range n {
		curve = append(curve, ranked(values, float64(i*(len(values)-1))/float64(max(n-1, 1))))
	}
	slices.Sort(curve) // against the rounding of what lies between equal values
	return curve, 0, 1
}

// quantileCurve returns the share of training values below a value: from 0 to 1, in the
// middle of those that are equal, and on a line between two quantiles.
func quantileCurve(curve []float64) (func(x float64) float64, error) {
	if len(curve) == 0 || len(curve) > maxQuantiles || !slices.IsSorted(curve) || slices.ContainsFunc(curve, func(x float64) bool { return !finite(x) }) {
		return nil, errors.New("no quantiles in order")
	}
	last := len(curve) - 1
	rank := func(i int) float64 { return float64(i) / float64(last) }
	return func(x float64) float64 {
		switch {
		case x <= curve[0]:
			return 0
		case x >= curve[last]:
			return 1
		}
		i, equal := slices.BinarySearch(curve, x)
		if equal {
			k := i
			for k < last && curve[k+1] == x {
				k++
			}
			return (rank(i) + rank(k)) / 2
		}
		a, b := curve[i-1], curve[i] // halves do not overflow
		share := (float64(x/2) - float64(a/2)) / (float64(b/2) - float64(a/2))
		return lerp(rank(i-1), rank(i), share)
	}, nil
}
