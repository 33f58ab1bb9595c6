// Package shapley says what each slot brought to the sum of decision trees for a row: its
// Shapley value, where a slot that is not known sends a row both ways, by the shares of
// the training rows that went there (Lundberg et al. 2018: path-dependent TreeSHAP).
//
// A leaf of value v is reached by a share of the rows that is a product over the slots of
// its path: of slot j the share z[j] if the slot is not known, and o[j], 1 or 0, if it is.
// The Shapley value of a product is an integral,
//
//	v * (o[i] - z[i]) * ∫ Π (t*o[j] + (1-t)*z[j]) dt, j ≠ i, t from 0 to 1,
//
// of a polynomial, which a few points give exactly. It depends on a row by which of the
// o are 1 alone. So trees are cut into groups of neighbouring leaves, each with a table of
// what its slots bring for whatever a row may have there: a row costs a look-up for each
// slot of each group, whatever the depth.
package shapley

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Tree is a decision tree. A node is a split, the first of which is the root, or a leaf as
// its complement; a tree without splits has leaf 0 alone.
type Tree interface {
	// Size returns how many splits there are.
	Size() int
	// Split returns which slot split i reads, and the nodes on its sides.
	Split(i int) (slot, left, right int)
	// Has reports whether an id goes to the left of split i.
	Has(i, id int) bool
	// Cover returns how many training rows a node had, in any unit, at least 0.
	Cover(node int) float64
	// Value returns that of a leaf.
	Value(leaf int) float64
}

const (
	// maxCells bounds the cells of a group's table: more take more memory than they save
	// look-ups.
	maxCells = 256
	// maxTables bounds the values in the tables of an Explainer, 64 MiB. Where there are
	// too many, groups are smaller.
	maxTables = 16 << 20
	// chunkRows is how many rows are explained at a time.
	chunkRows = 1024
)

// Explainer has the tables of some trees. It is immutable.
type Explainer struct {
	trees []compiled
	base  float64
	slots int
	most  int // slots that a tree reads
}

// New returns the explainer of the sum of trees that read slots of so many ids.
func New(trees []Tree, ids []int) *Explainer {
	e := &Explainer{slots: len(ids)}
	plans := make([]*planned, len(trees))
	for t, tree := range trees {
		plans[t] = plan(tree, ids)
		e.most = max(e.most, len(plans[t].slots))
		e.base += plans[t].base
	}
	cells := maxCells
	for ; cells > 1; cells /= 2 {
		total := 0
		for _, p := range plans {
			total += p.cut(cells)
		}
		if total <= maxTables {
			break
		}
	}
	if cells == 1 {
		for _, p := range plans {
			p.cut(0)
		}
	}
	for _, p := range plans {
		e.trees = append(e.trees, p.compile())
	}
	return e
}

// Base returns the sum of the trees where nothing is known of a row: its mean over the
// training rows.
func (e *Explainer) Base() float64 { return e.base }

// Scratch is the memory of one goroutine.
type Scratch struct {
	classes [][]uint16
	cells   []uint16
	known   []float64
	values  []float64
}

// Add adds to out[slot][r] what each slot brought for row rows[r] of a block, whose ids
// are in Categories. A slot that no tree reads may be nil.
func (e *Explainer) Add(s *Scratch, b *kernel.Block, rows []int32, out [][]float64) {
	for len(s.classes) < e.most {
		s.classes = append(s.classes, make([]uint16, chunkRows))
	}
	if s.cells == nil {
		s.cells = make([]uint16, chunkRows)
	}
	part := make([][]float64, len(out))
	for from := 0; from < len(rows); from += chunkRows {
		some := rows[from:min(from+chunkRows, len(rows))]
		for slot, column := range out {
			if column != nil {
				part[slot] = column[from : from+len(some)]
			}
		}
		for t := range e.trees {
			e.trees[t].add(s, b, some, part)
		}
	}
}

// compiled is a tree.
type compiled struct {
	slots  []slotClasses
	groups []group
	wide   []wideLeaf
}

// slotClasses is a slot that a tree reads: the class of each id. Ids of a class go the
// same way at each split.
type slotClasses struct {
	slot    int
	classes []uint16
}

// group is neighbouring leaves.
type group struct {
	members []member
	cells   int
	values  []float32 // by member, then by cell
}

// member is a slot of a group: what each of its classes adds to the number of the cell.
type member struct {
	slot, of int // of the block, and of the tree's slots
	cells    []uint16
}

// wideLeaf is a leaf with too many slots for a table.
type wideLeaf struct {
	members []member // whose cells are 1 of classes that lead to the leaf, else 0
	exact   quadrature
	leaf
}

// leaf is the value of a leaf, and the shares of its slots.
type leaf struct {
	value  float64
	shares []float64
}

func (c *compiled) add(s *Scratch, b *kernel.Block, rows []int32, out [][]float64) {
	for k := range c.slots {
		of := &c.slots[k]
		ids, classes := b.Categories[of.slot], s.classes[k]
		for r, i := range rows {
			classes[r] = of.classes[ids[i]]
		}
	}
	cells := s.cells[:len(rows)]
	for g := range c.groups {
		of := &c.groups[g]
		for m := range of.members {
			number, classes := of.members[m].cells, s.classes[of.members[m].of][:len(cells)]
			if m == 0 {
				for r, class := range classes {
					cells[r] = number[class]
				}
				continue
			}
			for r, class := range classes {
				cells[r] += number[class]
			}
		}
		for m := range of.members {
			values, sum := of.values[m*of.cells:(m+1)*of.cells], out[of.members[m].slot][:len(cells)]
			for r, cell := range cells {
				sum[r] += float64(values[cell])
			}
		}
	}
	for w := range c.wide {
		c.wide[w].add(s, rows, out)
	}
}

func (w *wideLeaf) add(s *Scratch, rows []int32, out [][]float64) {
	n := len(w.members)
	s.known, s.values = slices.Grow(s.known[:0], n)[:n], slices.Grow(s.values[:0], n)[:n]
	for r := range rows {
		for m := range w.members {
			s.known[m] = float64(w.members[m].cells[s.classes[w.members[m].of][r]])
		}
		w.bring(w.exact, s.known, s.values)
		for m := range w.members {
			out[w.members[m].slot][r] += s.values[m]
		}
	}
}

// bring sets values to what the slots of a leaf bring, where known is 1 of those that
// lead to it and 0 of the others.
func (l *leaf) bring(q quadrature, known, values []float64) {
	clear(values)
	for k, t := range q.points {
		product := float64(q.weights[k] * l.value)
		for j, z := range l.shares {
			product *= float64(t*known[j]) + float64((1-t)*z)
		}
		if product == 0 {
			continue
		}
		for j, z := range l.shares {
			values[j] += float64((known[j] - z) * (product / (float64(t*known[j]) + float64((1-t)*z))))
		}
	}
	// Where a factor is 0 both of a slot are: it brings nothing, and no other does.
}
