package model

import (
	"math/bits"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Router finds the leaves that rows of a block end in. It keeps, for each id of
// each slot that a tree splits, the leaves that an id leaves possible, in order
// from left to right: the first that all slots leave is where the row ends
// (QuickScorer, Lucchese et al. 2015, with a table where that has thresholds). It
// is immutable.
type Router struct {
	words  int // of 64 leaves each
	slots  []int
	tables [][]uint64 // by entry of slots: of word w, [w*ids, (w+1)*ids)
	ids    []int
	values []float32 // of the leaves from left to right
}

// NewRouter returns a Router of a tree.
func NewRouter(shape kernel.Shape, tree *Tree) *Router {
	r := &Router{values: make([]float32, 0, len(tree.Values))}
	ends := make([]int, len(tree.Splits)) // behind the leaves on a split's left
	begins := make([]int, len(tree.Splits))
	var visit func(node int)
	visit = func(node int) {
		if node < 0 {
			r.values = append(r.values, tree.Values[^node])
			return
		}
		begins[node] = len(r.values)
		visit(tree.Splits[node].Left)
		ends[node] = len(r.values)
		visit(tree.Splits[node].Right)
	}
	if len(tree.Splits) == 0 {
		visit(^0)
	} else {
		visit(0)
	}
	r.words = (len(r.values) + 63) / 64
	at := make(map[int]int) // of slots
	for i := range tree.Splits {
		s := &tree.Splits[i]
		k, ok := at[s.Slot]
		if !ok {
			k = len(r.slots)
			at[s.Slot] = k
			n := shape.Cardinalities[s.Slot]
			table := make([]uint64, r.words*n)
			for j := range table {
				table[j] = ^uint64(0)
			}
			r.slots, r.tables, r.ids = append(r.slots, s.Slot), append(r.tables, table), append(r.ids, n)
		}
		n := r.ids[k]
		for id := range n {
			if s.Set.Has(id) {
				continue
			}
			for leaf := begins[i]; leaf < ends[i]; leaf++ {
				r.tables[k][leaf/64*n+id] &^= 1 << (leaf % 64)
			}
		}
	}
	return r
}

// routedRows is how many rows are routed at a time, so that their masks stay in the
// first-level cache.
const routedRows = 256

// route sets leaf[i] to the place, from left to right, of the leaf of row from+i.
func (r *Router) route(b *kernel.Block, from int, masks []uint64, leaf []uint16) {
	if len(r.slots) == 0 {
		clear(leaf)
		return
	}
	for w := r.words - 1; w >= 0; w-- {
		r.possible(b, from, w, masks)
		leaf = leaf[:len(masks)]
		for i, m := range masks {
			if m != 0 {
				leaf[i] = uint16(w*64 + bits.TrailingZeros64(m))
			}
		}
	}
}

// possible sets masks to the leaves of word w that rows may end in.
func (r *Router) possible(b *kernel.Block, from, w int, masks []uint64) {
	for k, slot := range r.slots {
		table := r.tables[k][w*r.ids[k] : (w+1)*r.ids[k]]
		if b.Bytes != nil {
			restrict(masks, table, b.Bytes[slot][from:][:len(masks)], k == 0)
		} else {
			restrict(masks, table, b.Categories[slot][from:][:len(masks)], k == 0)
		}
	}
}

// restrict sets masks to what the table leaves of the ids possible, or of what is
// possible already.
func restrict[ID uint8 | uint32](masks, table []uint64, ids []ID, first bool) {
	ids = ids[:len(masks)]
	if first {
		for i := range masks {
			masks[i] = table[ids[i]]
		}
		return
	}
	for i := range masks {
		masks[i] &= table[ids[i]]
	}
}

// AddValues adds to out[i] the value of the leaf of row from+i.
func (r *Router) AddValues(b *kernel.Block, from, to int, out []float32) {
	var masks [routedRows]uint64
	var leaf [routedRows]uint16
	for ; from < to; from += routedRows {
		n := min(routedRows, to-from)
		r.route(b, from, masks[:n], leaf[:n])
		for i, k := range leaf[:n] {
			out[i] += r.values[k]
		}
		out = out[n:]
	}
}
