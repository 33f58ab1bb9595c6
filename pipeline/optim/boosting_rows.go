package optim

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// memo is what is kept of a batch: outputs by the trees so far, their derivatives,
// and which rows are in which node of the tree that grows.
type memo struct {
	trees         int // in out
	out           []float32
	loss          float64
	first, second []int32
	// order holds the rows; those of node i are [spans[i].from, spans[i].to), and spans
	// that are not known yet are -1.
	order []uint16
	spans []span
}

type span struct{ from, to int32 }

// upToDate returns the memo of a batch with the outputs of the first trees. One
// that came with a replica that has moved here is made again.
func (b *boosting) upToDate(s *State, step Step, trees int) *memo {
	m, _ := (*step.Memo).(*memo)
	if m == nil {
		n := step.Rows
		m = &memo{out: make([]float32, n), first: make([]int32, n), second: make([]int32, n), order: make([]uint16, n)}
		kernel.Fill(m.out, s.Vector[b.params-1])
		*step.Memo = m
	} else if m.trees == trees {
		return m
	}
	for ; m.trees < trees; m.trees++ {
		t := b.forest.Tree(s.Vector, m.trees)
		model.NewRouter(b.shape, &t).AddValues(step.Block, 0, step.Rows, m.out)
	}
	m.loss = b.loss.Newton(slices.Clone(m.out), step.Labels, m.first, m.second)
	for i := range m.order {
		m.order[i] = uint16(i)
	}
	m.spans = append(m.spans[:0], span{0, int32(step.Rows)})
	return m
}

// grower adds rows up by node.
type grower struct {
	*boosting
	nodes []node
	sides [][]uint8 // by node, once it is split: 1 for the ids that go left
	right []uint16
	// The derivatives of a node's rows.
	first, second []int64
}

func newGrower(b *boosting, nodes []node) *grower {
	return &grower{boosting: b, nodes: nodes, sides: make([][]uint8, len(nodes))}
}

// span returns the rows of node i, which are parted from its sibling's the first
// time.
func (g *grower) span(columns [][]uint8, m *memo, i int) span {
	for len(m.spans) < len(g.nodes) {
		m.spans = append(m.spans, span{-1, -1})
	}
	if m.spans[i].from < 0 {
		p := g.nodes[i].parent
		all := g.span(columns, m, p)
		middle := all.from + g.part(columns, m.order[all.from:all.to], p)
		m.spans[g.nodes[p].left], m.spans[g.nodes[p].right] = span{all.from, middle}, span{middle, all.to}
	}
	return m.spans[i]
}

// part puts the rows of a node that go left before the others and returns how many
// they are. Neither changes their order.
func (g *grower) part(columns [][]uint8, rows []uint16, i int) int32 {
	n := &g.nodes[i]
	if g.sides[i] == nil {
		g.sides[i] = make([]uint8, model.MaxIDs)
		for id := range g.sides[i] {
			if n.set.Has(id) {
				g.sides[i][id] = 1
			}
		}
	}
	sides, column := (*[model.MaxIDs]uint8)(g.sides[i]), columns[n.slot]
	right := slices.Grow(g.right[:0], len(rows)+1)[:len(rows)+1]
	g.right = right
	left, others := 0, 0
	for _, row := range rows {
		side := int(sides[column[row]])
		rows[left], right[others] = row, row
		left += side
		others += 1 - side
	}
	copy(rows[left:], right[:others])
	return int32(left)
}

// add adds the rows of node i to its histogram.
func (g *grower) add(cells []int64, columns [][]uint8, m *memo, i int) {
	at := g.span(columns, m, i)
	rows := m.order[at.from:at.to]
	g.first, g.second = slices.Grow(g.first[:0], len(rows))[:len(rows)], slices.Grow(g.second[:0], len(rows))[:len(rows)]
	first, second := g.first[:len(rows)], g.second[:len(rows)]
	for k, row := range rows {
		first[k], second[k] = int64(m.first[row]), int64(m.second[row])
	}
	for slot, column := range columns {
		part := cells[g.at[slot]*cell:]
		for k, row := range rows {
			c := (*[cell]int64)(part[int(column[row])*cell:])
			c[0] += first[k]
			c[1] += second[k]
			c[2]++
		}
	}
}
