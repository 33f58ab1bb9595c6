package optim

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
func (b *boosting) scoreOf(s sums, value float64) float64 {
	first, second := float64(s.first)/kernel.NewtonUnit, float64(s.second)/kernel.NewtonUnit+b.l2
	return -(float64(2*first*value) + float64(second*float64(value*value)))
}

// directed returns the gain of a candidate whose sides have values within the node's
// bounds, 0 of one that goes against its feature's direction.
func (b *boosting) directed(best *split, slot int, left, right sums) float64 {
	x, y := b.value(left, best.bounds), b.value(right, best.bounds)
	if float64(b.directions[slot])*(y-x) < 0 {
		return 0
	}
	return b.scoreOf(left, x) + b.scoreOf(right, y) - best.before
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
