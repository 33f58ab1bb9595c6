package boosting

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// bounds are what the values of a node's leaves are within, so that a split above whose
// feature has a direction keeps it. Those of both sides meet in the middle of what they
// would be as leaves.
type bounds struct{ low, high float64 }

var unbounded = bounds{math.Inf(-1), math.Inf(1)}

func (b bounds) cut(x float64) float64 { return min(max(x, b.low), b.high) }

// scoreOf is score of rows with another value than the best.
func scoreOf(s sums, value, l2 float64) float64 {
	first, second := float64(float64(s.first)/kernel.NewtonUnit), float64(float64(s.second)/kernel.NewtonUnit)+l2
	return -(float64(2*first*value) + float64(second*float64(value*value)))
}

// directed returns the gain of a candidate whose sides have values within the node's
// bounds, 0 of one that goes against its feature's direction.
func (b *boosting) directed(best *split, slot int, left, right sums, l2 float64) float64 {
	x, y := valueOf(left, best.bounds, l2), valueOf(right, best.bounds, l2)
	if float64(b.directions[slot])*(y-x) < 0 {
		return 0
	}
	return scoreOf(left, x, l2) + scoreOf(right, y, l2) - best.before
}

// childBounds returns the bounds of both sides of a node's split.
func (b *boosting) childBounds(n *node, s split) (left, right bounds) {
	left, right = n.bounds, n.bounds
	if b.directions == nil || b.directions[s.slot] == 0 {
		return left, right
	}
	middle := (b.value(s.left, n.bounds) + b.value(n.minus(s.left), n.bounds)) / 2
	if b.directions[s.slot] > 0 {
		left.high, right.low = middle, middle
	} else {
		left.low, right.high = middle, middle
	}
	return left, right
}
