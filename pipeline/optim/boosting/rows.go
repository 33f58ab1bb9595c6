package boosting

import (
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// upToDate returns the memo of a batch with the outputs of the trees before those that
// grow. One that came with a replica that has moved here is made again.
func (g *grower) upToDate(s *optim.State, step optim.Step) *memo {
	m, _ := (*step.Memo).(*memo)
	n := step.Rows
	if m == nil {
		m = &memo{trees: -1, out: make([]float32, n*g.outputs)}
		*step.Memo = m
	} else if m.trees == g.from {
		return m
	}
	for len(m.parts) < g.width {
		p := part{records: make([]kernel.Record, n), order: make([]uint16, n)}
		for i := range p.order {
			p.order[i] = uint16(i)
			p.records[i].Octets = [8]uint8(step.Octets[0][8*i:])
		}
		p.reset()
		m.parts = append(m.parts, p)
	}
	if m.trees < 0 {
		g.forest.Begin(s.Vector[:g.params], m.out)
		m.trees = 0
	}
	for ; m.trees < g.from; m.trees++ {
		p := &m.parts[g.partOf(m.trees)]
		if int(p.spans[0].to) < n {
			p.reset() // those that were not sampled have an output too
		}
		g.addTree(m.out[m.trees%g.outputs:], p, step.Octets, g.treeAt(s.Vector, m.trees))
		p.reset()
	}
	step.Label()
	g.out = append(g.out[:0], m.out...)
	n = len(g.out)
	first, second := kernel.Resized(g.first, n), kernel.Resized(g.second, n)
	g.first, g.second = first, second
	averages := g.forest.Averages()
	if averages {
		g.forest.Average(s.Vector[:g.params], m.trees, g.out)
	}
	if step.Weights != nil {
		g.lacks = append(g.lacks[:0], g.out...)
		m.loss = model.WeightedGradient(g.loss, g.lacks, step.Labels, step.Weights, 1)
	} else if averages {
		m.loss = g.loss.Gradient(g.out, step.Labels, 1)
	}
	if !averages {
		if loss := g.loss.Newton(g.out, step.Labels, first, second); step.Weights == nil {
			m.loss = loss
		}
		for at := 0; at < n && step.Weights != nil; at += step.Rows {
			g.weigh(step.Weights, first[at:], second[at:])
		}
	}
	for k := range g.growers {
		output := (g.from + k) % g.outputs
		at := output * step.Rows
		p, first, second := &m.parts[k], first[at:at+step.Rows], second[at:at+step.Rows]
		if g.forest.Averages() {
			g.fromMean(s.Vector[:g.params], output, step.Labels, first, second)
			if step.Weights != nil {
				g.weigh(step.Weights, first, second)
			}
		}
		for i, row := range p.order {
			p.records[i].First, p.records[i].Second = first[row], second[row]
		}
		if g.options.SamplesRows() {
			m.parts[k].sample(step.Keys, g.rowSeed(g.from+k), g.options.Subsample)
		}
	}
	return m
}

// weigh multiplies the derivatives of rows by their weights, in the unit that these have.
func (b *boosting) weigh(weights []float32, first, second []int32) {
	const bound = kernel.NewtonBound * kernel.NewtonUnit
	first, second = first[:len(weights)], second[:len(weights)]
	for i, w := range weights {
		f := float64(w) * b.unit
		first[i] = int32(min(max(math.Round(float64(f*float64(first[i]))), -bound), bound))
		second[i] = int32(min(math.Round(float64(f*float64(second[i]))), bound))
	}
}

// fromMean sets derivatives to those of the squared error of the mean label, or class's
// share, that trees are averaged from.
func (g *grower) fromMean(params []float32, output int, labels []float32, first, second []int32) {
	mean, lacks := g.forest.Bias(params)[output], slices.Grow(g.lacks[:0], len(labels))
	for _, y := range labels {
		if g.loss.For() == model.Category {
			if int(y) == output {
				y = 1
			} else {
				y = 0
			}
		}
		lacks = append(lacks, mean-y)
	}
	g.lacks = lacks
	kernel.FirstNewton(lacks, first, second)
}

// partOf returns the part of a batch whose spans are those of a tree that was grown.
func (b *boosting) partOf(tree int) int {
	k := tree % b.turn
	for n := range b.groups {
		if from, to := n*b.turn/b.groups, (n+1)*b.turn/b.groups; k < to {
			return k - from
		}
	}
	return 0
}

// reset puts all rows into the root, in the order that they have.
func (p *part) reset() { p.spans = append(p.spans[:0], span{from: 0, to: int32(len(p.order))}) }

// grower adds rows up by node, for each tree that grows.
type grower struct {
	*boosting
	group
	growers []*treeGrower
	trees   map[int]*grown // that are there

	out, lacks    []float32
	first, second []int32
}

// treeGrower adds rows up by node of one tree.
type treeGrower struct {
	*boosting
	nodes     []node
	requested []int                  // the nodes whose histograms are added up
	leaves    []int                  // of a tree that is refitted: those whose rows are
	sides     []*[model.MaxIDs]uint8 // by node, once it is split: 1 for the ids that go left
	// Of the requested nodes: the sums that are contributed, the histograms, and how many
	// rows each of these holds.
	sums  [][]int64
	cells [][][256]kernel.HistogramCell
	rows  []int

	ids    []uint8
	octets [][8]uint8
}

// grown is a tree with, for each split, which ids go left.
type grown struct {
	model.Tree
	sides []*[model.MaxIDs]uint8
}

// newGrower returns a grower of trees.
func newGrower(b *boosting, of group, trees []growing) *grower {
	g := &grower{boosting: b, group: of, trees: make(map[int]*grown)}
	for _, t := range trees {
		one := &treeGrower{boosting: b, nodes: t.nodes, requested: b.requested(t.nodes)}
		if len(t.nodes) == 0 {
			one.nodes = make([]node, 1)
		}
		one.sides = make([]*[model.MaxIDs]uint8, len(one.nodes))
		for i := range t.nodes {
			if refits(t.nodes) && t.nodes[i].left == 0 {
				one.leaves = append(one.leaves, i)
			}
		}
		g.growers = append(g.growers, one)
	}
	return g
}

// sumInto makes the grower add up the histograms of the requested nodes, into sums.
func (g *grower) sumInto(sums []int64) {
	size := g.boosting.cells * cell
	for _, t := range g.growers {
		if n := len(t.nodes) * cell; t.leaves != nil {
			t.sums, sums = [][]int64{sums[:n]}, sums[n:]
			continue
		}
		t.rows = make([]int, len(t.requested))
		for range t.requested {
			t.sums, sums = append(t.sums, sums[:size]), sums[size:]
			t.cells = append(t.cells, make([][256]kernel.HistogramCell, len(g.shape.Cardinalities)))
		}
	}
}

// idle reports whether no node is requested.
func (g *grower) idle() bool {
	return !slices.ContainsFunc(g.growers, func(t *treeGrower) bool { return len(t.requested) > 0 })
}

// add adds the rows of a batch to the histograms.
func (g *grower) add(octets [][]uint8, m *memo) {
	for j, t := range g.growers {
		for k := range t.requested {
			t.add(octets, &m.parts[j], k)
		}
		for _, leaf := range t.leaves {
			t.addLeaf(octets, &m.parts[j], leaf)
		}
	}
}

// flush moves the histograms to the sums.
func (g *grower) flush() {
	for _, t := range g.growers {
		for k := range t.requested {
			t.flush(k)
		}
	}
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
func (g *grower) addTree(out []float32, p *part, octets [][]uint8, t *grown) {
	parter := treeGrower{boosting: g.boosting}
	var visit func(split, span int)
	visit = func(split, at int) {
		if rows := p.order[p.spans[at].from:p.spans[at].to]; split < 0 {
			value := t.Values[^split]
			for _, row := range rows {
				out[int(row)*g.outputs] += value
			}
			return
		}
		s := &t.Splits[split]
		if p.spans[at].left == 0 {
			p.spans[at].left = int32(len(p.spans))
			middle := parter.part(p, octets, p.spans[at], s.Slot, t.sides[split])
			p.spans = append(p.spans, span{from: p.spans[at].from, to: middle}, span{from: middle, to: p.spans[at].to})
		}
		left := int(p.spans[at].left)
		visit(s.Left, left)
		visit(s.Right, left+1)
	}
	visit(t.Root(), 0)
}

// span returns the rows of node i, which are parted from its sibling's the first
// time.
func (g *treeGrower) span(octets [][]uint8, p *part, i int) span {
	for len(p.spans) < len(g.nodes) {
		p.spans = append(p.spans, span{from: -1})
	}
	if p.spans[i].from < 0 {
		parent := g.nodes[i].parent
		all, n := g.span(octets, p, parent), &g.nodes[parent]
		if g.sides[parent] == nil {
			g.sides[parent] = sidesOf(&n.set)
		}
		middle := g.part(p, octets, all, n.slot, g.sides[parent])
		p.spans[parent].left = int32(n.left)
		p.spans[n.left], p.spans[n.right] = span{from: all.from, to: middle}, span{from: middle, to: all.to}
	}
	return p.spans[i]
}

// part puts the rows of a node that go left before the others and returns where
// those begin.
func (g *treeGrower) part(p *part, octets [][]uint8, at span, slot int, sides *[model.MaxIDs]uint8) int32 {
	rows := p.order[at.from:at.to]
	var ids []uint8
	if group := slot / 8; group > 0 {
		ids = kernel.Resized(g.ids, len(rows))
		g.ids = ids
		column := octets[group][slot%8:]
		for i, row := range rows {
			ids[i] = column[8*int(row)]
		}
	}
	return at.from + int32(kernel.PartRecords(p.records[at.from:at.to], rows, ids, slot%8, sides))
}

// add adds the rows of the k-th requested node to its histogram, which goes to the sums
// before it is full.
func (g *treeGrower) add(octets [][]uint8, p *part, k int) {
	at := g.span(octets, p, g.requested[k])
	records, rows := p.records[at.from:at.to], p.order[at.from:at.to]
	if g.rows[k]+len(rows) > kernel.HistogramRows {
		g.flush(k)
	}
	g.rows[k] += len(rows)
	for group, ids := range octets {
		var of [][8]uint8
		if group > 0 {
			of = kernel.Resized(g.octets, len(rows))
			g.octets = of
			for j, row := range rows {
				of[j] = [8]uint8(ids[8*int(row):])
			}
		}
		kernel.AddRecords(g.cells[k][8*group:min(8*group+8, len(g.cells[k]))], records, of)
	}
}

// flush moves the histogram of the k-th requested node to its sums.
func (g *treeGrower) flush(k int) {
	g.rows[k] = 0
	for slot, n := range g.shape.Cardinalities {
		part := g.sums[k][g.at[slot]*cell:]
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
