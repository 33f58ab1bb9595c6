package optim

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// memo is what is kept of a batch: outputs by the trees so far, their derivatives,
// and which rows are in which node of the tree that grows.
type memo struct {
	trees int // in out
	out   []float32
	loss  float64
	// records and order hold the rows, with the ids of the first eight slots; those of
	// node i are [spans[i].from, spans[i].to).
	records []kernel.Record
	order   []uint16
	spans   []span
}

// span is a node's rows, once they are parted from its sibling's; till then from is
// -1. left is its left child once its own are parted, which the right one follows.
type span struct{ from, to, left int32 }

// upToDate returns the memo of a batch with the outputs of the first trees. One
// that came with a replica that has moved here is made again.
func (g *grower) upToDate(s *State, step Step, trees int) *memo {
	m, _ := (*step.Memo).(*memo)
	if m == nil {
		n := step.Rows
		m = &memo{trees: -1, out: make([]float32, n), records: make([]kernel.Record, n), order: make([]uint16, n)}
		*step.Memo = m
	} else if m.trees == trees {
		return m
	}
	if m.trees < 0 {
		kernel.Fill(m.out, s.Vector[g.params-1])
		m.trees = 0
		m.reset(step.Octets)
	}
	for ; m.trees < trees; m.trees++ {
		g.addTree(m, step.Octets, g.treeAt(s.Vector, m.trees))
		m.reset(step.Octets)
	}
	step.Label()
	g.out = append(g.out[:0], m.out...)
	n := len(g.out)
	first, second := slices.Grow(g.first[:0], n)[:n], slices.Grow(g.second[:0], n)[:n]
	g.first, g.second = first, second
	m.loss = g.loss.Newton(g.out, step.Labels, first, second)
	for i := range m.records {
		m.records[i].First, m.records[i].Second = first[i], second[i]
	}
	return m
}

// reset puts all rows into the root.
func (m *memo) reset(octets [][]uint8) {
	for i := range m.order {
		m.order[i] = uint16(i)
		m.records[i].Octets = [8]uint8(octets[0][8*i:])
	}
	m.spans = append(m.spans[:0], span{from: 0, to: int32(len(m.order))})
}

// grower adds rows up by node.
type grower struct {
	*boosting
	nodes []node
	sides []*[model.MaxIDs]uint8 // by node, once it is split: 1 for the ids that go left
	// cells are the histograms of the nodes that are looked at, and rows how many each
	// holds.
	cells [][][256]kernel.HistogramCell
	rows  []int

	trees map[int]*grown

	ids           []uint8
	octets        [][8]uint8
	out           []float32
	first, second []int32
}

// grown is a tree with, for each split, which ids go left.
type grown struct {
	model.Tree
	sides []*[model.MaxIDs]uint8
}

// newGrower returns a grower that looks at so many nodes.
func newGrower(b *boosting, nodes []node, look int) *grower {
	g := &grower{boosting: b, nodes: nodes, sides: make([]*[model.MaxIDs]uint8, len(nodes)), rows: make([]int, look), trees: make(map[int]*grown)}
	for range look {
		g.cells = append(g.cells, make([][256]kernel.HistogramCell, len(b.shape.Cardinalities)))
	}
	return g
}

// treeAt returns a tree of the parameters.
func (g *grower) treeAt(params []float32, tree int) *grown {
	t := g.trees[tree]
	if t == nil {
		t = &grown{Tree: g.forest.Tree(params, tree)}
		for i := range t.Splits {
			t.sides = append(t.sides, sidesOf(&t.Splits[i].Set))
		}
		g.trees[tree] = t
	}
	return t
}

func sidesOf(set *model.IDSet) *[model.MaxIDs]uint8 {
	sides := new([model.MaxIDs]uint8)
	for id := range sides {
		if set.Has(id) {
			sides[id] = 1
		}
	}
	return sides
}

// addTree adds a tree's values to the outputs: of the tree that has grown last, rows
// are in the spans of its nodes already.
func (g *grower) addTree(m *memo, octets [][]uint8, t *grown) {
	var visit func(split, span int)
	visit = func(split, at int) {
		if rows := m.order[m.spans[at].from:m.spans[at].to]; split < 0 {
			value := t.Values[^split]
			for _, row := range rows {
				m.out[row] += value
			}
			return
		}
		s := &t.Splits[split]
		if m.spans[at].left == 0 {
			m.spans[at].left = int32(len(m.spans))
			middle := g.part(m, octets, m.spans[at], s.Slot, t.sides[split])
			m.spans = append(m.spans, span{from: m.spans[at].from, to: middle}, span{from: middle, to: m.spans[at].to})
		}
		left := int(m.spans[at].left)
		visit(s.Left, left)
		visit(s.Right, left+1)
	}
	root := 0
	if len(t.Splits) == 0 {
		root = ^0
	}
	visit(root, 0)
}

// span returns the rows of node i, which are parted from its sibling's the first
// time.
func (g *grower) span(octets [][]uint8, m *memo, i int) span {
	for len(m.spans) < len(g.nodes) {
		m.spans = append(m.spans, span{from: -1})
	}
	if m.spans[i].from < 0 {
		p := g.nodes[i].parent
		all, n := g.span(octets, m, p), &g.nodes[p]
		if g.sides[p] == nil {
			g.sides[p] = sidesOf(&n.set)
		}
		middle := g.part(m, octets, all, n.slot, g.sides[p])
		m.spans[p].left = int32(n.left)
		m.spans[n.left], m.spans[n.right] = span{from: all.from, to: middle}, span{from: middle, to: all.to}
	}
	return m.spans[i]
}

// part puts the rows of a node that go left before the others and returns where
// those begin.
func (g *grower) part(m *memo, octets [][]uint8, at span, slot int, sides *[model.MaxIDs]uint8) int32 {
	rows := m.order[at.from:at.to]
	var ids []uint8
	if group := slot / 8; group > 0 {
		ids = slices.Grow(g.ids[:0], len(rows))[:len(rows)]
		g.ids = ids
		column := octets[group][slot%8:]
		for i, row := range rows {
			ids[i] = column[8*int(row)]
		}
	}
	return at.from + int32(kernel.PartRecords(m.records[at.from:at.to], rows, ids, slot%8, sides))
}

// add adds the rows of node i, the k-th that is looked at, to its histogram, which
// goes to cells before it is full.
func (g *grower) add(cells []int64, octets [][]uint8, m *memo, k, i int) {
	at := g.span(octets, m, i)
	records, rows := m.records[at.from:at.to], m.order[at.from:at.to]
	if g.rows[k]+len(rows) > kernel.HistogramRows {
		g.flush(cells, k)
	}
	g.rows[k] += len(rows)
	for group, ids := range octets {
		var of [][8]uint8
		if group > 0 {
			of = slices.Grow(g.octets[:0], len(rows))[:len(rows)]
			g.octets = of
			for j, row := range rows {
				of[j] = [8]uint8(ids[8*int(row):])
			}
		}
		kernel.AddRecords(g.cells[k][8*group:min(8*group+8, len(g.cells[k]))], records, of)
	}
}

// flush moves the histogram of the k-th node that is looked at to cells.
func (g *grower) flush(cells []int64, k int) {
	g.rows[k] = 0
	for slot, n := range g.shape.Cardinalities {
		part := cells[g.at[slot]*cell:]
		for id := range g.cells[k][slot][:n] {
			c := &g.cells[k][slot][id]
			if c.Second == 0 {
				continue // no rows
			}
			first, second, rows := c.Sums()
			s := (*[cell]int64)(part[id*cell:])
			s[0], s[1], s[2] = s[0]+first, s[1]+second, s[2]+rows
			*c = kernel.HistogramCell{}
		}
	}
}
