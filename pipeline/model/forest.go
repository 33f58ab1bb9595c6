package model

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// IDSet is a set of the ids of a slot.
type IDSet [MaxIDs / 64]uint64

// Add adds an id.
func (s *IDSet) Add(id int) { s[id/64] |= 1 << (id % 64) }

// Has reports whether an id is in the set.
func (s *IDSet) Has(id int) bool { return s[id/64]>>(id%64)&1 == 1 }

// Tree is a decision tree. Without splits its one leaf holds all rows.
type Tree struct {
	Splits []Split // the first is the root
	Values []float32
	// Rows are the training rows that each leaf had, rounded to a float32.
	Rows []float32
}

// Root returns the split that rows begin at; without splits the leaf, as its complement.
func (t *Tree) Root() int {
	if len(t.Splits) == 0 {
		return ^0
	}
	return 0
}

// Split sends a row to the left if its id of a slot is in a set.
type Split struct {
	Slot int
	Set  IDSet
	// Left and Right are splits, or leaves as their complements.
	Left, Right int
	// Gain is how much it decreased the loss of the training rows.
	Gain float32
}

// Forest is the one layer of a model of trees. Its parameters are the trees: of
// several outputs tree t adds to output t modulo their number.
type Forest struct {
	Options Trees
	shape   kernel.Shape
	outputs int
	most    int // trees
	views   []View
	means   pipeline.OfMeans // the loss of trees that are averaged, else nil
}

// setParts is how many float32s a set takes, of 24 bits each: so many bits a
// float32 keeps whatever it is moved by.
const (
	setBits  = 24
	setParts = (MaxIDs + setBits - 1) / setBits
)

// The views of a forest, in order.
const (
	viewLeaves = iota // of each tree, 0: the tree is not there
	viewSlots
	viewLeft
	viewRight
	viewSets
	viewGains
	viewValues
	viewRows
	viewBias
)

func newForest(o *Trees, shape kernel.Shape, outputs int) *Forest {
	f := &Forest{Options: *o, shape: shape, outputs: outputs, most: o.Trees * outputs}
	splits, next := o.MaxLeaves-1, 0
	for _, v := range []View{{Name: "trees.leaves", Shape: []int{f.most}}, {Name: "trees.slot", Shape: []int{f.most, splits}},
		{Name: "trees.left", Shape: []int{f.most, splits}}, {Name: "trees.right", Shape: []int{f.most, splits}},
		{Name: "trees.set", Shape: []int{f.most, splits, setParts}}, {Name: "trees.gain", Shape: []int{f.most, splits}},
		{Name: "trees.value", Shape: []int{f.most, o.MaxLeaves}}, {Name: "trees.rows", Shape: []int{f.most, o.MaxLeaves}},
		{Name: "bias", Shape: []int{outputs}, Bias: true}} {
		v.Offset = next
		next += v.Size()
		f.views = append(f.views, v)
	}
	return f
}

// Forest returns the layer of a model of trees, nil of others.
func (m *Model) Forest() *Forest {
	f, _ := m.layers[0].(*Forest)
	return f
}

// Outputs implements Layer.
func (f *Forest) Outputs() int { return f.outputs }

// Views implements Layer.
func (f *Forest) Views() []View { return f.views }

// Scratch implements Layer.
func (f *Forest) Scratch() int { return 0 }

// Init implements Layer.
func (f *Forest) Init(params []float32, _ uint64) { clear(params) }

// Rescale implements Rescaler.
func (f *Forest) Rescale(params []float32, offsets []float64, scale float64) {
	values := f.views[viewValues].Of(params)
	for i, v := range values {
		values[i] = float32(float64(v) * scale)
	}
	gains := f.views[viewGains].Of(params)
	for i, v := range gains {
		gains[i] = float32(float64(v) * float64(scale*scale))
	}
	for k, b := range f.Bias(params) {
		f.Bias(params)[k] = float32(float64(float64(b)*scale) + offsets[k])
	}
}

// Backward implements Layer. Trees have no gradient.
func (f *Forest) Backward(*Chunk, []float32, []float32, []float32) {
	panic("model: trees are grown, not descended")
}

// Forward implements Layer.
func (f *Forest) Forward(c *Chunk, params, out []float32) {
	f.Begin(params, out)
	kept := f.compile(c.Keep, params)
	kept.add(c.Block, c.From, c.To, 0, out)
	f.Average(params, len(kept.routers), out)
}

// Bias returns the part of parameters that outputs begin with.
func (f *Forest) Bias(params []float32) []float32 { return f.views[viewBias].Of(params) }

// Begin sets the outputs of rows to those without trees, to which their values are added:
// 0 where these are averaged.
func (f *Forest) Begin(params, out []float32) {
	if f.means != nil {
		clear(out)
		return
	}
	bias := f.Bias(params)
	if f.outputs == 1 {
		kernel.Fill(out, bias[0])
		return
	}
	for ; len(out) > 0; out = out[f.outputs:] {
		copy(out, bias)
	}
}

// Averages reports whether the trees are a forest's.
func (f *Forest) Averages() bool { return f.means != nil }

// Average makes sums of so many trees' values outputs, where trees are averaged.
func (f *Forest) Average(params []float32, trees int, out []float32) {
	if f.means == nil {
		return
	}
	bias, n := f.Bias(params), float32(max(1, trees/f.outputs))
	for i, sum := range out {
		out[i] = bias[i%f.outputs] + sum/n
	}
	f.means.FromMeans(out)
}

// compiled is the routers of the parameters that were last used, which are not
// written any more once they predict.
type compiled struct {
	outputs int
	params  []float32
	routers []*router
	// sums[t] is of what the first t trees give, made when it is asked for.
	sums [][sha256.Size]byte
}

// compile returns the routers of parameters, and keeps them.
func (f *Forest) compile(keep *any, params []float32) *compiled {
	kept, _ := (*keep).(*compiled)
	if kept == nil || &kept.params[0] != &params[0] {
		kept = &compiled{outputs: f.outputs, params: params, routers: make([]*router, 0, f.Count(params))}
		for t := range f.Count(params) {
			tree := f.Tree(params, t)
			kept.routers = append(kept.routers, routerOf(f.shape, &tree))
		}
		*keep = kept
	}
	return kept
}

// add adds the trees from one on to the outputs of rows.
func (c *compiled) add(b *kernel.Block, from, to, tree int, out []float32) {
	for t := tree; t < len(c.routers); t++ {
		c.routers[t].addValues(b, from, to, out[t%c.outputs:], c.outputs)
	}
}

// predicted is the outputs of a block by the trees that a sum is of.
type predicted struct {
	trees int
	sum   [sha256.Size]byte
	out   []float32
}

// forwardAgain is Forward of a block whose memo may have the outputs by the first trees.
func (f *Forest) forwardAgain(keep *any, params []float32, b *kernel.Block, out []float32, memo *any) {
	c := f.compile(keep, params)
	if c.sums == nil {
		c.sums = f.sums(params, len(c.routers))
	}
	p, _ := (*memo).(*predicted)
	if p == nil || p.trees >= len(c.sums) || c.sums[p.trees] != p.sum {
		p = &predicted{out: make([]float32, len(out))}
		f.Begin(params, p.out)
		*memo = p
	}
	c.add(b, 0, b.Rows, p.trees, p.out)
	p.trees = len(c.routers)
	p.sum = c.sums[p.trees]
	copy(out, p.out)
	f.Average(params, p.trees, out)
}

// sums returns, for each number of trees, the sum of the parameters that the outputs
// by so many trees are of.
func (f *Forest) sums(params []float32, trees int) [][sha256.Size]byte {
	text := kernel.AppendFloats(nil, f.Bias(params))
	sums := make([][sha256.Size]byte, 1, trees+1)
	sums[0] = sha256.Sum256(text)
	for t := range trees {
		text = append(text[:0], sums[t][:]...)
		for view := viewLeaves; view < viewBias; view++ {
			text = kernel.AppendFloats(text, f.row(params, view, t))
		}
		sums = append(sums, sha256.Sum256(text))
	}
	return sums
}

// Count returns how many trees the parameters have.
func (f *Forest) Count(params []float32) int {
	for t, n := range f.views[viewLeaves].Of(params) {
		if n == 0 {
			return t
		}
	}
	return f.most
}

// Has reports whether there is a tree t.
func (f *Forest) Has(params []float32, t int) bool { return f.views[viewLeaves].Of(params)[t] > 0 }

// Cut removes the trees from one on.
func (f *Forest) Cut(params []float32, from int) {
	for t := from; t < f.most; t++ {
		f.clear(params, t)
	}
}

func (f *Forest) clear(params []float32, t int) {
	for view := viewLeaves; view < viewBias; view++ {
		clear(f.row(params, view, t))
	}
}

// row is a tree's part of a view.
func (f *Forest) row(params []float32, view, t int) []float32 {
	v := f.views[view]
	n := v.Size() / f.most
	return v.Of(params)[t*n : (t+1)*n]
}

// Importance is what the splits of a feature have done in all trees.
type Importance struct {
	Feature string  `json:"feature"`
	Gain    float64 `json:"gain"` // how much they decreased the loss of the training rows
	Splits  int     `json:"splits"`
}

// Importance returns that of each feature of a model of trees, by gain; nil of another.
func (m *Model) Importance(params []float32) []Importance {
	f := m.Forest()
	if f == nil {
		return nil
	}
	out := make([]Importance, len(f.shape.CategoryNames))
	for slot, name := range f.shape.CategoryNames {
		out[slot].Feature = name
	}
	for t := range f.Count(params) {
		slots, gains := f.row(params, viewSlots, t), f.row(params, viewGains, t)
		for i := range int(f.views[viewLeaves].Of(params)[t]) - 1 {
			of := &out[int(slots[i])]
			of.Gain += float64(gains[i])
			of.Splits++
		}
	}
	slices.SortStableFunc(out, func(x, y Importance) int { return cmp.Compare(y.Gain, x.Gain) })
	return out
}

// Put writes tree t, in place of another one where there is one.
func (f *Forest) Put(params []float32, t int, tree *Tree) {
	f.clear(params, t)
	f.views[viewLeaves].Of(params)[t] = float32(len(tree.Values))
	slots, left, right, sets := f.row(params, viewSlots, t), f.row(params, viewLeft, t), f.row(params, viewRight, t), f.row(params, viewSets, t)
	gains := f.row(params, viewGains, t)
	for i, s := range tree.Splits {
		slots[i], left[i], right[i], gains[i] = float32(s.Slot), float32(s.Left), float32(s.Right), s.Gain
		for id := range MaxIDs {
			if s.Set.Has(id) {
				sets[i*setParts+id/setBits] += float32(uint32(1) << (id % setBits))
			}
		}
	}
	copy(f.row(params, viewValues, t), tree.Values)
	copy(f.row(params, viewRows, t), tree.Rows)
}

// Tree reads tree t of parameters that Check has passed.
func (f *Forest) Tree(params []float32, t int) (tree Tree) {
	leaves := int(f.views[viewLeaves].Of(params)[t])
	slots, left, right, sets := f.row(params, viewSlots, t), f.row(params, viewLeft, t), f.row(params, viewRight, t), f.row(params, viewSets, t)
	gains := f.row(params, viewGains, t)
	tree.Values, tree.Rows = f.row(params, viewValues, t)[:leaves], f.row(params, viewRows, t)[:leaves]
	for i := range leaves - 1 {
		s := Split{Slot: int(slots[i]), Left: int(left[i]), Right: int(right[i]), Gain: gains[i]}
		for id := range MaxIDs {
			if uint32(sets[i*setParts+id/setBits])>>(id%setBits)&1 == 1 {
				s.Set.Add(id)
			}
		}
		tree.Splits = append(tree.Splits, s)
	}
	return tree
}

// Check implements Checker: parameters from outside are trees whose splits and
// leaves are each reached once, from the root.
func (f *Forest) Check(params []float32) error {
	for name, most := range map[int]int{viewLeaves: f.Options.MaxLeaves, viewSlots: len(f.shape.Cardinalities) - 1, viewSets: 1<<setBits - 1} {
		if i := outside(f.views[name].Of(params), 0, most); i >= 0 {
			return fmt.Errorf("parameter %s[%d] is %v", f.views[name].Name, i, f.views[name].Of(params)[i])
		}
	}
	for _, view := range []int{viewGains, viewRows} {
		for i, x := range f.views[view].Of(params) {
			if !(x >= 0) {
				return fmt.Errorf("parameter %s[%d] is %v", f.views[view].Name, i, x)
			}
		}
	}
	for _, view := range []int{viewLeft, viewRight} {
		if i := outside(f.views[view].Of(params), -f.Options.MaxLeaves, f.Options.MaxLeaves); i >= 0 {
			return fmt.Errorf("parameter %s[%d] is %v", f.views[view].Name, i, f.views[view].Of(params)[i])
		}
	}
	for t := range f.Count(params) {
		tree := f.Tree(params, t)
		splits, leaves := make([]bool, len(tree.Splits)), make([]bool, len(tree.Values))
		var visit func(node int) bool
		visit = func(node int) bool {
			seen, i := splits, node
			if node < 0 {
				seen, i = leaves, ^node
			}
			if i >= len(seen) || seen[i] {
				return false
			}
			seen[i] = true
			return node < 0 || visit(tree.Splits[node].Left) && visit(tree.Splits[node].Right)
		}
		if len(tree.Splits) > 0 && (!visit(0) || slices.Contains(splits, false)) {
			return fmt.Errorf("tree %d is no tree", t)
		}
	}
	return nil
}

// outside returns the first element that is no whole number from least to most, or -1.
func outside(v []float32, least, most int) int {
	for i, x := range v {
		if !(x >= float32(least) && x <= float32(most)) || x != float32(int(x)) {
			return i
		}
	}
	return -1
}
