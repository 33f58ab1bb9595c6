// Package boosting is the algorithm that grows trees: gradient boosting, and forests, from
// histograms that replicas add up.
package boosting

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// New implements Spec.
func (*Spec) New(m *model.Model, t *pipeline.Trainer) (optim.Algorithm, error) {
	f := m.Forest()
	if f == nil {
		return nil, &thalweg.Error{Op: "build optimizer", Kind: thalweg.Unsupported, Subject: "optimizer boosting", Err: fmt.Errorf("a %s model has no trees to grow", m.Type())}
	}
	b := &boosting{forest: f, loss: m.Loss().(model.NewtonLoss), shape: m.Shape(), options: f.Options, l2: t.Regularization.L2,
		minRows: int64(f.Options.MinChildRows), params: m.Size(), outputs: m.Outputs(), unit: 1, seed: kernel.Mix(t.Seed)}
	for _, n := range b.shape.Cardinalities {
		b.at = append(b.at, b.cells)
		b.cells += n
	}
	for slot, name := range b.shape.CategoryNames {
		if direction := f.Options.Monotone[name]; direction != 0 {
			b.directions = append(b.directions, make([]int, len(b.shape.Cardinalities)-len(b.directions))...)
			b.directions[slot] = direction
		}
	}
	b.turn, b.rounds = b.outputs, b.options.MaxDepth
	if f.Averages() {
		b.turn *= treesPerEpoch
	}
	if b.renewed, _ = b.loss.(model.RenewedLoss); b.renewed != nil {
		b.rounds += renewRounds
	}
	each := b.options.MaxLeaves * b.cells * cell
	if each > maxKept {
		return nil, &thalweg.Error{Op: "build optimizer", Kind: thalweg.Invalid, Subject: "model.max_leaves",
			Err:  fmt.Errorf("a tree of %d leaves has %d sums for %d ids of features; at most %d are kept", b.options.MaxLeaves, each, b.cells, maxKept),
			Hint: "lower model.max_leaves, the count of bins, or most_common"}
	}
	most := min(maxGroup, maxKept/each)
	b.groups = (b.turn + most - 1) / most
	b.width = (b.turn + b.groups - 1) / b.groups
	return b, nil
}

// maxRowWeight is what the largest weight of a row comes to in derivatives at most.
const maxRowWeight = 16

// Weigh implements Weighing.
func (b *boosting) Weigh(most float64) optim.Algorithm {
	weighed := *b
	weighed.unit = min(1, min(maxRowWeight, kernel.NewtonBound/b.loss.NewtonBound())/most)
	weighed.l2 *= weighed.unit
	return &weighed
}

// maxGroup is how many trees are grown at once at most: what is kept of a row grows with
// them.
const maxGroup = 8

// maxKept bounds the integers of a state, 1 GiB.
const maxKept = 128 << 20

// maxRequested bounds the integers of a contribution, 64 MiB: with very many features
// a tree takes more rounds, or has fewer leaves.
const maxRequested = 8 << 20

// boosting is the algorithm. A tree takes MaxDepth rounds, each of which adds up the
// histograms of some nodes: the first that of the root, the others those of the smaller
// child of each split that may stay; its sibling has what is left of their parent. Of
// several outputs there is a tree for each in turn, and a group of them is grown at once,
// from the same outputs. Splits are chosen best first, as if one leaf were split at a time:
// where that needs the gain of a node without a histogram, it waits for the next round.
// MaxDepth rounds suffice: a split that stays in the end may have stayed all the time, so
// that after n rounds those of the first n levels are there.
//
// A tree that is there before its turn has been inherited: it keeps its splits, and its
// leaves are refitted. The first round adds up their rows, the others have nothing to do.
//
// State.Integers are, for each tree that grows, its nodes (nodeInts each), and then the
// histogram of each node, empty where it is not needed any more.
type boosting struct {
	forest  *model.Forest
	loss    model.NewtonLoss
	shape   kernel.Shape
	options model.Trees
	l2      float64
	minRows int64
	params  int
	outputs int
	// unit is what the weights of rows are multiplied by, so that derivatives keep within
	// their bound; 1 where rows have none. The penalties are multiplied by it too.
	unit    float64
	seed    uint64
	renewed model.RenewedLoss // nil: leaves have Newton's step
	// rounds are those of a tree. A turn is the trees that follow from the same outputs:
	// one for each output, or in a forest all of an epoch; turn is how many.
	rounds, turn int
	// directions are those of slots, nil where no feature has one.
	directions []int
	groups     int   // of a turn
	width      int   // trees of the largest group
	at         []int // by slot: its first cell in a histogram
	cells      int   // of a histogram
}

// cell is what a histogram has of each id: sums of first and second derivatives,
// and rows.
const cell = 3

// sums is a cell, or what many come to.
type sums struct{ first, second, rows int64 }

func (s sums) plus(o sums) sums {
	return sums{s.first + o.first, s.second + o.second, s.rows + o.rows}
}

func (s sums) minus(o sums) sums {
	return sums{s.first - o.first, s.second - o.second, s.rows - o.rows}
}

func sumsOf(cells []int64, id int) sums {
	return sums{cells[id*cell], cells[id*cell+1], cells[id*cell+2]}
}

// node is a node of the tree that grows. Its split is the best that its histogram
// has; whether it stays is decided when the tree is full.
type node struct {
	sums
	gain  float64 // of its split
	depth int
	bounds
	// summed: its histogram was added up. left and right are 0 where it has no split
	// that is worth it.
	summed      bool
	slot        int
	set         model.IDSet
	left, right int
	parent      int
}

// nodeInts is how many integers a node takes in a state.
const nodeInts = 12 + len(model.IDSet{})

func (n *node) append(dst []int64) []int64 {
	summed := int64(0)
	if n.summed {
		summed = 1
	}
	dst = append(dst, n.first, n.second, n.rows, int64(math.Float64bits(n.gain)), int64(n.depth), summed, int64(n.slot), int64(n.left), int64(n.right), int64(n.parent),
		int64(math.Float64bits(n.low)), int64(math.Float64bits(n.high)))
	for _, word := range n.set {
		dst = append(dst, int64(word))
	}
	return dst
}

func nodesOf(ints []int64) []node {
	nodes := make([]node, 0, len(ints)/nodeInts+2)
	for ; len(ints) >= nodeInts; ints = ints[nodeInts:] {
		n := node{sums: sums{ints[0], ints[1], ints[2]}, gain: math.Float64frombits(uint64(ints[3])), depth: int(ints[4]), summed: ints[5] == 1,
			slot: int(ints[6]), left: int(ints[7]), right: int(ints[8]), parent: int(ints[9]),
			bounds: bounds{math.Float64frombits(uint64(ints[10])), math.Float64frombits(uint64(ints[11]))}}
		for i := range n.set {
			n.set[i] = uint64(ints[12+i])
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// Size implements optim.Algorithm: the parameters are the trees.
func (b *boosting) Size() int { return b.params }

// Schedule implements optim.Algorithm.
func (b *boosting) Schedule(int) optim.Schedule {
	n := b.turns() * b.groups
	// More trees never make a forest worse, whatever few validation rows say. Of others
	// the least metric of very few rows is mostly chance.
	return optim.Schedule{Rounds: n * b.rounds, Passes: n, Converges: b.forest.Averages(), PreferLater: true}
}

// turns returns how many there are in an epoch.
func (b *boosting) turns() int { return treesPerEpoch * b.outputs / b.turn }

// group is trees [from, to), which are grown at once. Behind the last one it is empty.
type group struct{ from, to int }

// group returns which trees a round is of, and which of their rounds it is.
func (b *boosting) group(at optim.Round) (g group, round int) {
	n := at.Epoch*b.turns()*b.groups + at.Index/b.rounds
	from, most := n/b.groups*b.turn, b.options.Trees*b.outputs
	n %= b.groups
	return group{min(most, from+n*b.turn/b.groups), min(most, from+(n+1)*b.turn/b.groups)}, at.Index % b.rounds
}

// requested lists the nodes of a tree whose histograms a round adds up: the root, then
// the smaller one of two siblings.
func (b *boosting) requested(nodes []node) (requested []int) {
	if len(nodes) == 0 {
		return []int{0} // the root is to be
	}
	if refits(nodes) {
		return nil
	}
	for _, i := range b.wanted(nodes) {
		n := &nodes[i]
		if nodes[n.right].rows < nodes[n.left].rows {
			requested = append(requested, n.right)
		} else {
			requested = append(requested, n.left)
		}
	}
	return requested
}

// wanted lists the splits whose children need a histogram next: of those that have none
// yet the ones that are kept by what is known so far and leave room for another. The
// others never will, since what is not known yet can only come before them.
func (b *boosting) wanted(nodes []node) (splits []int) {
	if _, waits := b.keep(nodes, true); !waits {
		return nil
	}
	kept, _ := b.keep(nodes, false)
	for _, i := range kept[:min(len(kept), b.options.MaxLeaves-2)] {
		if n := &nodes[i]; !nodes[n.left].summed && b.splittable(nodes, n) {
			splits = append(splits, i)
		}
	}
	// Best first, so that the one that is waited for has room.
	splits = splits[:min(len(splits), max(1, maxRequested/(b.cells*cell*b.width)))]
	slices.Sort(splits)
	return splits
}

// splittable reports whether a child of n may be split.
func (b *boosting) splittable(nodes []node, n *node) bool {
	return n.depth+1 < b.options.MaxDepth && max(nodes[n.left].rows, nodes[n.right].rows) >= 2*b.minRows
}

// keep lists the splits that stay: the best first, until the tree is full. Where
// exact, it waits where a child without a histogram may have a better one.
func (b *boosting) keep(nodes []node, exact bool) (kept []int, waits bool) {
	if len(nodes) == 0 || nodes[0].left == 0 {
		return nil, false
	}
	open := []int{0} // splits that may stay
	for len(kept) < b.options.MaxLeaves-1 && len(open) > 0 {
		best := 0
		for k, i := range open {
			if nodes[i].gain > nodes[open[best]].gain {
				best = k
			}
		}
		i := open[best]
		open = slices.Delete(open, best, best+1)
		kept = append(kept, i)
		n := &nodes[i]
		if !nodes[n.left].summed && b.splittable(nodes, n) && exact {
			return kept, len(kept) < b.options.MaxLeaves-1
		}
		for _, child := range []int{n.left, n.right} {
			if nodes[child].left > 0 {
				open = append(open, child)
			}
		}
	}
	return kept, false
}

// growing is a tree that grows.
type growing struct {
	nodes []node
	cells [][]int64 // by node; of a grown one that is renewed, the ranks of its leaves
}

// growing returns the trees that grow before a round, and which of their rounds it is.
func (b *boosting) growing(s *optim.State, at optim.Round) (trees []growing, g group, round int) {
	g, round = b.group(at)
	if trees = make([]growing, g.to-g.from); round == 0 {
		for k := range trees {
			if b.forest.Has(s.Vector, g.from+k) {
				trees[k] = b.inherited(b.forest.Tree(s.Vector, g.from+k))
			}
		}
		return trees, g, round
	}
	left := s.Integers
	for k := range trees {
		nodes := nodesOf(left[0])
		n := len(nodes)
		if round >= b.options.MaxDepth {
			n = 1
		}
		trees[k] = growing{nodes, slices.Clone(left[1 : 1+n])}
		left = left[1+n:]
	}
	return trees, g, round
}

// Zeros implements optim.Algorithm.
func (b *boosting) Zeros(s *optim.State, at optim.Round) kernel.Vector {
	n := 0
	trees, _, round := b.growing(s, at)
	for _, t := range trees {
		switch {
		case refits(t.nodes):
			n += len(t.nodes) * cell
		case round < b.options.MaxDepth:
			n += len(b.requested(t.nodes)) * b.cells * cell
		default:
			n += len(b.leaves(t.nodes)) * counted
		}
	}
	return kernel.Vector{Int64: make([]int64, max(1, n))}
}

// Contribute implements optim.Algorithm.
func (b *boosting) Contribute(r *optim.Replica, s *optim.State, at optim.Round) (v kernel.Vector, loss float64, err error) {
	v = b.Zeros(s, at)
	trees, of, round := b.growing(s, at)
	g := newGrower(b, of, trees)
	if round >= b.options.MaxDepth {
		return v, 0, g.count(r, s, at, trees, v.Int64)
	}
	g.sumInto(v.Int64)
	// How often the epoch finds the loss of a row.
	times := float64(min(b.turns(), max(1, (b.options.Trees-at.Epoch*treesPerEpoch)*b.outputs/b.turn)))
	rows := r.Steps
	if round > 0 {
		rows = r.Again
	}
	if round > 0 && g.idle() {
		return v, 0, nil
	}
	for step, err := range rows(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return kernel.Vector{}, 0, err
		}
		if of.from == of.to {
			continue // the last epoch has no more trees
		}
		m := g.upToDate(s, step)
		if round == 0 && of.from%b.turn == 0 {
			loss += m.loss / times
		}
		g.add(step.Octets, m)
	}
	g.flush()
	return v, loss, nil
}

// treeOf returns the tree of the splits that are kept, the first of which is the
// root, and the nodes that its leaves are. unit is that of the derivatives.
func treeOf(nodes []node, kept []int, unit float64) (t *model.Tree, leaves []int) {
	t = &model.Tree{}
	place := make(map[int]int, len(kept))
	for k, i := range kept {
		place[i] = k
	}
	child := func(i int) int {
		if k, split := place[i]; split {
			return k
		}
		leaves = append(leaves, i)
		t.Values = append(t.Values, 0)
		return ^(len(leaves) - 1)
	}
	if len(kept) == 0 {
		child(0)
	}
	for _, i := range kept {
		n := &nodes[i]
		t.Splits = append(t.Splits, model.Split{Slot: n.slot, Set: n.set, Left: child(n.left), Right: child(n.right), Gain: float32(n.gain / (2 * unit))})
	}
	return t, leaves
}

// Apply implements optim.Algorithm.
func (b *boosting) Apply(s *optim.State, at optim.Round, reduced kernel.Vector) (checkpoint bool, err error) {
	trees, of, round := b.growing(s, at)
	if round >= b.options.MaxDepth {
		b.narrow(of, trees, reduced.Int64)
	} else if err := b.extend(of, trees, reduced.Int64); err != nil {
		return false, err
	}
	if round+1 == b.options.MaxDepth && b.renewed != nil {
		for k := range trees {
			trees[k].cells = [][]int64{make([]int64, rankInts*len(b.leaves(trees[k].nodes)))} // nothing is known before rows are counted
		}
	}
	s.Integers = nil
	if round+1 < b.rounds {
		for _, t := range trees {
			encoded := make([]int64, 0, len(t.nodes)*nodeInts)
			for i := range t.nodes {
				encoded = t.nodes[i].append(encoded)
			}
			s.Integers = append(append(s.Integers, encoded), t.cells...)
		}
		return false, nil
	}
	if len(trees) > 0 {
		s.Vector = slices.Clone(s.Vector)
		for k, t := range trees {
			b.finish(s.Vector, of.from+k, t)
		}
	}
	if at.Last() {
		candidate := slices.Clone(s.Vector)
		b.forest.Cut(candidate, of.to) // what is inherited counts once it is refitted
		s.Blend(candidate)
		s.Converged = b.forest.Averages() && of.to == b.options.Trees*b.outputs
	}
	return false, nil
}

// extend gives trees the histograms that replicas have added up.
func (b *boosting) extend(of group, trees []growing, seen []int64) (err error) {
	size := b.cells * cell
	for k := range trees {
		t := &trees[k]
		if refits(t.nodes) {
			b.refit(t.nodes, seen)
			seen = seen[len(t.nodes)*cell:]
			continue
		}
		for _, i := range b.requested(t.nodes) {
			if len(t.nodes) == 0 {
				root := node{bounds: unbounded}
				for id := range b.shape.Cardinalities[0] {
					root.sums = root.plus(sumsOf(seen, id))
				}
				t.nodes, t.cells = b.findSplit(of.from+k, []node{root}, [][]int64{seen[:size:size]}, 0)
			} else if t.nodes, t.cells, err = b.addHistogram(of.from+k, t.nodes, t.cells, i, seen[:size]); err != nil {
				return err
			}
			seen = seen[size:]
		}
	}
	return nil
}

// addHistogram takes the histogram of node i of a tree, which gives that of its sibling
// too.
func (b *boosting) addHistogram(tree int, nodes []node, cells [][]int64, i int, seen []int64) ([]node, [][]int64, error) {
	parent := nodes[i].parent
	sibling := nodes[parent].left + nodes[parent].right - i
	rest := make([]int64, len(seen))
	for k, x := range cells[parent] {
		rest[k] = x - seen[k]
	}
	var have sums
	for id := range b.shape.Cardinalities[0] {
		have = have.plus(sumsOf(seen, id))
	}
	if have != nodes[i].sums {
		return nil, nil, &thalweg.Error{Op: "grow tree", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("node %d", i),
			Err: fmt.Errorf("its histogram is of %d rows, its split sends it %d", have.rows, nodes[i].rows), Hint: "this is a bug in training: please report it"}
	}
	cells[parent] = nil
	cells[i], cells[sibling] = seen, rest
	for _, k := range []int{i, sibling} {
		nodes, cells = b.findSplit(tree, nodes, cells, k)
	}
	cells[i] = slices.Clone(cells[i]) // what it is a part of goes
	return nodes, cells, nil
}

// findSplit finds the best split of node i by its histogram, and makes its children.
func (b *boosting) findSplit(tree int, nodes []node, cells [][]int64, i int) ([]node, [][]int64) {
	n := nodes[i]
	n.summed = true
	var best split
	if n.rows >= 2*b.minRows {
		best = b.best(tree, i, &n, cells[i])
	}
	if best.gain > 0 && n.depth < b.options.MaxDepth {
		n.gain, n.slot, n.set = best.gain, best.slot, best.set
		n.left, n.right = len(nodes), len(nodes)+1
		left, right := b.childBounds(&n, best)
		nodes = append(nodes, node{sums: best.left, depth: n.depth + 1, parent: i, bounds: left},
			node{sums: n.minus(best.left), depth: n.depth + 1, parent: i, bounds: right})
		cells = append(cells, nil, nil)
		if !b.splittable(nodes, &n) {
			cells[i] = nil // no child takes its own from it
		}
	} else {
		cells[i] = nil
	}
	nodes[i] = n
	return nodes, cells
}

// finish writes the tree of the best splits.
func (b *boosting) finish(params []float32, tree int, grown growing) {
	kept, _ := b.keep(grown.nodes, false)
	t, leaves := treeOf(grown.nodes, kept, b.unit)
	for k, i := range leaves {
		n := &grown.nodes[i]
		value := b.value(n.sums, n.bounds)
		if b.renewed != nil && n.low < n.high {
			value = renewedValue(grown.cells[0][k*rankInts:], n.rows)
		}
		t.Values[k] = float32(b.options.LearningRate * value)
		t.Rows = append(t.Rows, float32(n.rows))
	}
	b.forest.Put(params, tree, t)
}

// value is Newton's step with a penalty, the least of the loss's second-order
// approximation, within bounds.
func (b *boosting) value(s sums, within bounds) float64 { return valueOf(s, within, b.l2) }

// valueOf is value with another penalty.
func valueOf(s sums, within bounds, l2 float64) float64 {
	if s.first == 0 {
		return within.cut(0) // of no rows, too
	}
	return within.cut(-float64(s.first) / (float64(s.second) + float64(l2*kernel.NewtonUnit)))
}
