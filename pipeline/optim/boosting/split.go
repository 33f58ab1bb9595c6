package boosting

import (
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// What holds splits of categories back from noise, as in LightGBM: an id needs so
// many rows to be told from others, values are shrunk by a penalty of their own, and
// only so many ids are picked out.
const (
	categoryRows = 10
	categoryL2   = 10
	categoryIDs  = 32
	// minSecond is the least sum of second derivatives of a child: below it, its
	// rows are predicted as well as can be.
	minSecond = kernel.NewtonUnit / 1000
	// leastGain is what float64 can tell from nothing.
	leastGain = 1e-10
)

// minSecond is the constant in the unit of the rows' weights.
func (b *boosting) minSecond() int64 { return int64(minSecond * b.unit) }

// split is a candidate.
type split struct {
	gain float64
	slot int
	set  model.IDSet // of the left
	left sums
	// before is the score without a split, of a node within bounds.
	before float64
	bounds
}

// best returns the split of a node of a tree, number at, that decreases the loss the
// most; its gain is 0 where none does. Of equal ones it is the first.
func (b *boosting) best(tree, at int, n *node, cells []int64) (best split) {
	all := n.sums
	best.before, best.bounds = score(all, b.l2), n.bounds
	if b.directions != nil {
		best.before = scoreOf(all, b.value(all, n.bounds), b.l2)
	}
	sampled := b.slots(tree, at)
	ordered := b.shape.Ordered
	for slot, n := range b.shape.Cardinalities {
		part := cells[b.at[slot]*cell : (b.at[slot]+n)*cell]
		cuts := len(ordered) > 0 && ordered[0] == slot
		if cuts {
			ordered = ordered[1:]
		}
		if sampled != nil && !sampled[slot] {
			continue
		}
		if cuts {
			b.cut(&best, slot, part, all)
			continue
		}
		b.pick(&best, slot, part, all)
	}
	return best
}

// try makes left a candidate, and reports whether it is the best so far.
func (b *boosting) try(best *split, slot int, left, all sums, l2 float64) bool {
	right := all.minus(left)
	if min(left.rows, right.rows) < b.minRows || min(left.second, right.second) < b.minSecond() {
		return false
	}
	gain := score(left, l2) + score(right, l2) - best.before
	if b.directions != nil {
		gain = b.directed(best, slot, left, right, l2)
	}
	if gain <= best.gain || gain < leastGain {
		return false
	}
	best.gain, best.slot, best.left = gain, slot, left
	return true
}

// score is twice how much Newton's step decreases the loss.
func score(s sums, l2 float64) float64 {
	g := float64(s.first) / kernel.NewtonUnit
	return float64(g*g) / (float64(float64(s.second)/kernel.NewtonUnit) + l2)
}

// cut tries the cuts between ids in order, with the missing ones on either side.
func (b *boosting) cut(best *split, slot int, cells []int64, all sums) {
	missing := sumsOf(cells, 0)
	n := len(cells) / cell
	for _, with := range []bool{false, true} {
		var left sums
		if with {
			left = missing
		}
		most := n - 1
		if !with && missing.rows > 0 {
			most = n // all others against the missing
		}
		for id := 1; id < most; id++ {
			c := sumsOf(cells, id)
			if left = left.plus(c); c.rows == 0 || !b.try(best, slot, left, all, b.l2) {
				continue
			}
			best.set = model.IDSet{}
			for k := 1; k <= id; k++ {
				best.set.Add(k)
			}
			// Where none was missing, what is missing later goes with the larger side.
			if with || missing.rows == 0 && left.rows*2 > all.rows {
				best.set.Add(0)
			}
		}
		if missing.rows == 0 {
			return
		}
	}
}

// pick tries sets of ids: those with the least or the most first derivative for
// their second one (Fisher 1958).
func (b *boosting) pick(best *split, slot int, cells []int64, all sums) {
	var memory ranking
	ids := memory.of(cells, float64(categoryRows*kernel.NewtonUnit*b.unit))
	l2 := b.l2 + float64(categoryL2*b.unit)
	if len(ids) <= 4 {
		l2 = b.l2
	}
	for range 2 {
		var left sums
		for k := range min(len(ids)-1, categoryIDs) {
			if left = left.plus(sumsOf(cells, ids[k].id())); !b.try(best, slot, left, all, l2) {
				continue
			}
			best.set = model.IDSet{}
			for _, x := range ids[:k+1] {
				best.set.Add(x.id())
			}
			// What none of these rows has goes with the larger side.
			for id := 0; left.rows*2 > all.rows && id < len(cells)/cell; id++ {
				if cells[id*cell+2] == 0 {
					best.set.Add(id)
				}
			}
		}
		slices.Reverse(ids)
	}
}

// ranked is an id in its last byte, and before it what orders it, without its last bits.
type ranked uint64

func (r ranked) id() int { return int(r & 0xff) }

// ranking is the memory for ranking the ids of a slot.
type ranking struct {
	at            [model.MaxIDs]float64 // by id
	ranked, moved [model.MaxIDs]ranked
}

// of returns the ids that have rows enough, those with the least first derivative for
// their second one and smoothing first, then by id. Whole numbers are sorted faster than
// what they stand for, and many by their upper half, digit by digit; then those that differ
// in their last bits only are set right.
func (r *ranking) of(cells []int64, smoothing float64) []ranked {
	n := 0
	for id := range len(cells) / cell {
		s := sumsOf(cells, id)
		if s.rows < categoryRows {
			continue
		}
		r.at[id] = float64(s.first) / (float64(s.second) + smoothing)
		bits := math.Float64bits(r.at[id])
		bits ^= uint64(int64(bits)>>63) | 1<<63 // in the order of what they stand for
		r.ranked[n] = ranked(bits&^0xff | uint64(id))
		n++
	}
	ids := r.ranked[:n]
	if n < fewRanked {
		slices.Sort(ids)
	} else {
		r.sortUpper(n)
	}
	for i := range ids {
		x := ids[i]
		for ; i > 0 && r.at[ids[i-1].id()] > r.at[x.id()]; i-- {
			ids[i] = ids[i-1]
		}
		ids[i] = x
	}
	return ids
}

// fewRanked is how many ids are sorted by comparing them.
const fewRanked = 96

// sortUpper sorts the first n by the upper half of their bits; equal ones stay in order.
func (r *ranking) sortUpper(n int) {
	const digits = 4
	var counts [digits][256]uint16
	from, to := r.ranked[:n], r.moved[:n]
	for _, x := range from {
		for d := range digits {
			counts[d][uint8(x>>(32+8*d))]++
		}
	}
	for d := range digits {
		shift, c := 32+8*d, &counts[d]
		if int(c[uint8(from[0]>>shift)]) == n {
			continue // all have the same
		}
		var next uint16
		for k, count := range c {
			c[k] = next
			next += count
		}
		for _, x := range from {
			k := uint8(x >> shift)
			to[c[k]] = x
			c[k]++
		}
		from, to = to, from
	}
	if &from[0] != &r.ranked[0] {
		copy(r.ranked[:n], from)
	}
}
