package boosting

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/optim"
)

// The value of a leaf that is renewed is a quantile of what its rows' outputs lack. It is
// found by radix selection, a byte in each of so many rounds after the last one of
// growing: rows are counted by the next byte of what they lack, a float32 as an integer
// of the same order. The quantile is that of one row, the same whatever the order in
// which rows are counted.
const (
	renewRounds = 4
	counted     = 256 // counts of a leaf
	rankInts    = 3   // what is known of a leaf: bytes so far, their number, rank among the rows that have them
)

// leaves returns the nodes of a grown tree that are leaves, in the tree's order.
func (b *boosting) leaves(nodes []node) []int {
	kept, _ := b.keep(nodes, false)
	_, leaves := treeOf(nodes, kept, 1)
	return leaves
}

// rankOf returns which of rows that count so much in all has the quantile of a tree's output.
func (b *boosting) rankOf(tree int, all int64) int64 {
	return max(0, min(int64(b.renewed.Level(tree%b.outputs)*float64(all)), all-1))
}

// countOf is how much a row counts: 1, or where rows have weights so many parts of 2^-20.
func countOf(weights []float32, row uint16) int64 {
	if weights == nil {
		return 1
	}
	return max(1, int64(math.Round(float64(weights[row])*(1<<20))))
}

// count counts the rows of each leaf of trees, by the byte that is to be known next.
func (g *grower) count(r *optim.Replica, s *optim.State, at optim.Round, trees []growing, counts []int64) error {
	if len(trees) == 0 {
		return nil
	}
	for step, err := range r.Again(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return err
		}
		m, into := g.upToDate(s, step), counts
		step.Label()
		for k, t := range g.growers {
			p, known, output := &m.parts[k], trees[k].cells[0], (g.from+k)%g.outputs
			for _, leaf := range g.leaves(t.nodes) {
				prefix, have := uint32(known[0]), int(known[1])
				within := t.span(step.Octets, p, leaf)
				for _, row := range p.order[within.from:within.to] {
					lacks := ordered(step.Labels[row] - m.out[int(row)*g.outputs+output])
					if uint64(lacks)>>(32-8*have) == uint64(prefix) {
						into[lacks>>(24-8*have)&0xff] += countOf(step.Weights, row)
					}
				}
				known, into = known[rankInts:], into[counted:]
			}
		}
	}
	return nil
}

// narrow takes the counts of rows by the next byte.
func (b *boosting) narrow(of group, trees []growing, counts []int64) {
	for k := range trees {
		known := append([]int64(nil), trees[k].cells[0]...)
		trees[k].cells[0] = known
		for ; len(known) > 0; known, counts = known[rankInts:], counts[counted:] {
			if known[1] == 0 {
				all := int64(0)
				for _, n := range counts[:counted] {
					all += n
				}
				known[2] = b.rankOf(of.from+k, all)
			}
			next := int64(0)
			for next < counted-1 && known[2] >= counts[next] {
				known[2] -= counts[next]
				next++
			}
			known[0], known[1] = known[0]<<8|next, known[1]+1
		}
	}
}

// renewedValue returns the value of a leaf of so many rows of which all is known.
func renewedValue(known []int64, rows int64) float64 {
	if rows == 0 {
		return 0
	}
	return float64(unordered(uint32(known[0])))
}

// ordered returns an integer that is less than another's where x is.
func ordered(x float32) uint32 {
	bits := math.Float32bits(x)
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

// unordered is the inverse of ordered.
func unordered(bits uint32) float32 {
	if bits>>31 == 1 {
		return math.Float32frombits(bits &^ (1 << 31))
	}
	return math.Float32frombits(^bits)
}
