package model

import (
	"math/bits"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// router finds the leaves that rows of a block end in. It keeps, for each id of
// each slot that a tree splits, the leaves that an id leaves possible, in order
// from left to right: the first that all slots leave is where the row ends
// (QuickScorer, Lucchese et al. 2015, with a table where that has thresholds). It
// is immutable.
type router struct {
	words  int // of 64 leaves each
	slots  []int
	tables [][]uint64 // by entry of slots: of word w, [w*ids, (w+1)*ids)
	ids    []int
	values []float32 // of the leaves from left to right
}

// DecisionTree is a tree that was trained here or imported.
type DecisionTree interface {
	// Size returns how many splits there are. The first is the root.
	Size() int
	// Split returns which slot split i reads, and the nodes on its sides: splits, or
	// leaves as their complements.
	Split(i int) (slot, left, right int)
	// Has reports whether an id goes to the left of split i.
	Has(i, id int) bool
	// Value returns that of a leaf.
	Value(leaf int) float64
}

// Size implements DecisionTree.
func (t *Tree) Size() int { return len(t.Splits) }

// Split implements DecisionTree.
func (t *Tree) Split(i int) (slot, left, right int) {
	s := &t.Splits[i]
	return s.Slot, s.Left, s.Right
}

// Has implements DecisionTree.
func (t *Tree) Has(i, id int) bool { return t.Splits[i].Set.Has(id) }

// Value implements DecisionTree.
func (t *Tree) Value(leaf int) float64 { return float64(t.Values[leaf]) }

// routerOf returns the router of a tree.
func routerOf(shape kernel.Shape, tree *Tree) *router {
	r, leaves := newRouter(shape, tree)
	r.values = make([]float32, len(leaves))
	for i, leaf := range leaves {
		r.values[i] = tree.Values[leaf]
	}
	return r
}

// newRouter returns a router without values, and the leaves from left to right.
func newRouter(shape kernel.Shape, tree DecisionTree) (r *router, leaves []int) {
	r = new(router)
	n := tree.Size()
	begins, ends := make([]int, n), make([]int, n) // of the leaves on a split's left
	var visit func(node int)
	visit = func(node int) {
		if node < 0 {
			leaves = append(leaves, ^node)
			return
		}
		_, left, right := tree.Split(node)
		begins[node] = len(leaves)
		visit(left)
		ends[node] = len(leaves)
		visit(right)
	}
	if n == 0 {
		visit(^0)
	} else {
		visit(0)
	}
	r.words = (len(leaves) + 63) / 64
	at := make(map[int]int) // of slots
	for i := range n {
		slot, _, _ := tree.Split(i)
		k, ok := at[slot]
		if !ok {
			k = len(r.slots)
			at[slot] = k
			ids := shape.Cardinalities[slot]
			table := make([]uint64, r.words*ids)
			for j := range table {
				table[j] = ^uint64(0)
			}
			r.slots, r.tables, r.ids = append(r.slots, slot), append(r.tables, table), append(r.ids, ids)
		}
		ids := r.ids[k]
		for id := range ids {
			if tree.Has(i, id) {
				continue
			}
			for leaf := begins[i]; leaf < ends[i]; leaf++ {
				r.tables[k][leaf/64*ids+id] &^= 1 << (leaf % 64)
			}
		}
	}
	return r, leaves
}

// routedRows is how many rows are routed at a time, so that their masks stay in the
// first-level cache.
const routedRows = 256

// route sets leaf[i] to the place, from left to right, of the leaf of row from+i.
func (r *router) route(b *kernel.Block, from int, masks []uint64, leaf []uint16) {
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
func (r *router) possible(b *kernel.Block, from, w int, masks []uint64) {
	for k, slot := range r.slots {
		table := r.tables[k][w*r.ids[k] : (w+1)*r.ids[k]]
		switch bytes, shorts, words := b.Slot(slot); {
		case b.Octets != nil:
			restrict(masks, table, b.Octets[slot/8][8*from+slot%8:], 8, k == 0)
		case bytes != nil:
			restrict(masks, table, bytes[from:], 1, k == 0)
		case shorts != nil:
			restrict(masks, table, shorts[from:], 1, k == 0)
		default:
			restrict(masks, table, words[from:], 1, k == 0)
		}
	}
}

// restrict sets masks to what the table leaves of each stride-th id possible, or of
// what is possible already.
func restrict[I kernel.ID](masks, table []uint64, ids []I, stride int, first bool) {
	if first {
		for i := range masks {
			masks[i] = table[ids[i*stride]]
		}
		return
	}
	for i := range masks {
		masks[i] &= table[ids[i*stride]]
	}
}

// addValues adds to out[i*stride] the value of the leaf of row from+i.
func (r *router) addValues(b *kernel.Block, from, to int, out []float32, stride int) {
	var masks [routedRows]uint64
	var leaf [routedRows]uint16
	for ; from < to; from += routedRows {
		n := min(routedRows, to-from)
		r.route(b, from, masks[:n], leaf[:n])
		for i, k := range leaf[:n] {
			out[i*stride] += r.values[k]
		}
		if from+n < to {
			out = out[n*stride:]
		}
	}
}
