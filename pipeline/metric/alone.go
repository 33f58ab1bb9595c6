package metric

import (
	"cmp"
	"iter"
	"slices"
)

// leakAt is from where on a feature that predicts the label alone is suspected to
// be made of it, on at least leakRows rows.
const (
	leakAt   = 0.995
	leakRows = 100
)

// IsLeak reports whether a feature that predicts the label so well alone, on so many
// rows, is suspected to be made of it.
func IsLeak(strength float64, rows int) bool { return rows >= leakRows && strength >= leakAt }

// Alone returns how well scores predict labels by themselves, from 0 to 1: of
// binary labels the area under the ROC curve, whichever way round, which is 1/2 for
// scores that say nothing; of numbers the squared correlation. Labels that are all
// alike give 0.
func Alone(scores, labels []float32, binary bool) float64 {
	if binary {
		return area(scores, labels)
	}
	var x, y Moments
	var product float64
	for i, s := range scores {
		before := float64(s) - x.Mean
		x.Add(float64(s))
		y.Add(float64(labels[i]))
		product += float64(before * (float64(labels[i]) - y.Mean))
	}
	if x.Squares == 0 || y.Squares == 0 {
		return 0
	}
	return product * product / (x.Squares * y.Squares)
}

// area is Area of rows by their scores.
func area(scores, labels []float32) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	return Area(func(yield func(falses, trues float64) bool) {
		for from := 0; from < len(order); {
			to, trues := from, 0.0
			for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
				trues += float64(labels[order[to]])
			}
			if !yield(float64(to-from)-trues, trues) {
				return
			}
			from = to
		}
	})
}

// Area returns the area under the ROC curve of groups of rows, of which each has so many
// false and true labels and a higher score than those before: the share of pairs of a true
// and a false row in which the true one has the higher score, equal ones counting half; of
// that and the rest, the larger. 0 where all labels are alike.
func Area(groups iter.Seq2[float64, float64]) float64 {
	var trues, falses, pairs float64
	for f, t := range groups {
		pairs += float64(t*falses) + float64(t*f/2)
		trues, falses = trues+t, falses+f
	}
	if trues == 0 || falses == 0 {
		return 0
	}
	share := pairs / (trues * falses)
	return max(share, 1-share)
}
