package boosting

import "github.com/thalweg/thalweg/pipeline/model"

// inherited returns the nodes of a tree that is refitted. Until the rows of its leaves are
// added up, both bounds of a leaf are its value.
func (b *boosting) inherited(t model.Tree) growing {
	nodes := make([]node, 1, 2*len(t.Values))
	nodes[0].bounds = unbounded
	var visit func(split, at int)
	visit = func(split, at int) {
		if split < 0 {
			value := float64(t.Values[^split]) / b.options.LearningRate
			nodes[at].bounds = bounds{value, value}
			return
		}
		s, left := &t.Splits[split], len(nodes)
		nodes[at].slot, nodes[at].set, nodes[at].left, nodes[at].right = s.Slot, s.Set, left, left+1
		child := node{depth: nodes[at].depth + 1, parent: at, bounds: unbounded}
		nodes = append(nodes, child, child)
		visit(s.Left, left)
		visit(s.Right, left+1)
	}
	visit(t.Root(), 0)
	return growing{nodes, make([][]int64, len(nodes))}
}

// refits reports whether a tree was inherited, and its rows are not added up yet.
func refits(nodes []node) bool { return len(nodes) > 0 && !nodes[0].summed }

// addLeaf adds the rows of a leaf of a batch to its sums.
func (g *treeGrower) addLeaf(octets [][]uint8, p *part, leaf int) {
	at, into := g.span(octets, p, leaf), g.sums[0][leaf*cell:]
	for i := at.from; i < at.to; i++ {
		into[0] += int64(p.records[i].First)
		into[1] += int64(p.records[i].Second)
	}
	into[2] += int64(at.to - at.from)
}

// refit gives the nodes of a tree the sums of its leaves. A leaf of fewer rows than may be
// keeps its value; the others get theirs within the bounds of what is above them.
func (b *boosting) refit(nodes []node, seen []int64) {
	for i := len(nodes) - 1; i >= 0; i-- { // children follow their parent
		n := &nodes[i]
		n.summed = true
		if n.left == 0 {
			n.sums = sumsOf(seen, i)
			continue
		}
		n.sums = nodes[n.left].plus(nodes[n.right].sums)
	}
	for i := range nodes {
		n := &nodes[i]
		if n.left == 0 {
			continue
		}
		left, right := &nodes[n.left], &nodes[n.right]
		if min(left.second, right.second) > 0 {
			n.gain = max(0, score(left.sums, b.l2)+score(right.sums, b.l2)-score(n.sums, b.l2))
		}
		x, y := b.childBounds(n, split{slot: n.slot, left: left.sums})
		left.inherit(x, b.minRows, b.minSecond())
		right.inherit(y, b.minRows, b.minSecond())
	}
	if root := &nodes[0]; root.left == 0 {
		root.inherit(unbounded, b.minRows, b.minSecond())
	}
}

// inherit takes bounds over from the parent, of a leaf if it has the rows that it needs;
// else its value stays as far as they allow.
func (n *node) inherit(within bounds, minRows, minSecond int64) {
	if n.left == 0 && (n.rows < minRows || n.second < minSecond) {
		value := within.cut(n.low)
		within = bounds{value, value}
	}
	n.bounds = within
}
