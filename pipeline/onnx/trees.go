package onnx

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/model"
)

// The modes of nodes of TreeEnsemble, by which a row goes to the true branch.
const (
	branchLEQ = iota
	branchLT
	branchGTE
	branchGT
	branchEQ
	branchNEQ
	branchMember
)

// rule is a split as TreeEnsemble has it: which column it reads and when a row goes left.
type rule struct {
	number  bool // the slot's number, not its ids
	mode    byte
	value   float64
	members []float64
	missing bool // a number that is missing goes left
}

// ruleOf returns the rule of a set of ids of a slot, of so many.
func ruleOf(c *category, ids int, has func(id int) bool) rule {
	if c.number != "" {
		if r, ok := numberRule(c.cuts, has); ok {
			return r
		}
	}
	var left, right []float64
	for id := range ids {
		if has(id) {
			left = append(left, float64(id))
		} else {
			right = append(right, float64(id))
		}
	}
	switch {
	case len(left) == 0:
		return rule{mode: branchLT, value: 0}
	case left[len(left)-1] == float64(len(left)-1): // the first ones
		return rule{mode: branchLEQ, value: left[len(left)-1]}
	case left[0] == float64(ids-len(left)): // the last ones
		return rule{mode: branchGTE, value: left[0]}
	case len(left) == 1:
		return rule{mode: branchEQ, value: left[0]}
	case len(right) == 1:
		return rule{mode: branchNEQ, value: right[0]}
	}
	return rule{mode: branchMember, members: left}
}

// numberRule returns the rule of a number that is cut into bins, where these go left up to
// one, or from one on.
func numberRule(cuts []float64, has func(id int) bool) (rule, bool) {
	last := len(cuts) + 1
	upto := 0 // as many bins go left from the first on
	for upto < last && has(upto+1) {
		upto++
	}
	from := last + 1 // these go left up to the last
	for from > 1 && has(from-1) {
		from--
	}
	r := rule{number: true, missing: has(0)}
	others := 0
	for id := 1; id <= last; id++ {
		if has(id) {
			others++
		}
	}
	switch {
	case others == 0:
		r.mode, r.value = branchLT, -math.MaxFloat64
	case others == last:
		r.mode, r.value = branchLEQ, math.MaxFloat64
	case others == upto:
		r.mode, r.value = branchLEQ, cuts[upto-1]
	case others == last+1-from:
		r.mode, r.value = branchGT, cuts[from-2]
	default:
		return r, false
	}
	return r, true
}

// groupTargets is about how many trees one TreeEnsemble has, each with a target of its own:
// so many values a row it makes at once.
const groupTargets = 64

// ensemble is the values of trees, added up one after the other in the order of the trees,
// as scoring adds them. A TreeEnsemble alone would add them in an order that depends on its
// threads.
func (x *exporter) ensemble(trees []model.DecisionTree, ids []int, start value, outputs int, of elementType) value {
	type key struct {
		slot   int
		number bool
	}
	columns := map[key]int64{}
	var inputs []value
	rules := make([][]rule, len(trees))
	for t, tree := range trees {
		for i := range tree.Size() {
			slot, _, _ := tree.Split(i)
			c := &x.slots.categories[slot]
			r := ruleOf(c, ids[slot], func(id int) bool { return tree.Has(i, id) })
			rules[t] = append(rules[t], r)
			k := key{slot, r.number}
			if _, ok := columns[k]; !ok {
				columns[k] = int64(len(inputs))
				in := c.number
				if !r.number {
					in = x.cast(c.id(), float64Type)
				}
				inputs = append(inputs, x.column(in))
			}
		}
	}
	if len(inputs) == 0 {
		inputs = append(inputs, x.column(x.cast(x.blank, float64Type)))
	}
	rows := x.concat(inputs...)
	turns := max(1, groupTargets/outputs)
	sum := start
	for from := 0; from < len(trees); from += turns * outputs {
		to := min(from+turns*outputs, len(trees))
		var w ensembleWriter
		for t := from; t < to; t++ {
			w.add(trees[t], rules[t], func(slot int, number bool) int64 { return columns[key{slot, number}] })
		}
		values := x.node(mlDomain, "TreeEnsemble", []value{rows}, 1, w.attributes()...)[0]
		values = x.cast(values, of)
		n := (to - from + outputs - 1) / outputs
		parts := []value{values}
		if n > 1 {
			parts = x.node("", "Split", []value{values, x.ints("turns", equal(n, outputs)...)}, n, intAttribute("axis", 1))
		}
		for _, part := range parts {
			sum = x.op("Add", sum, part)
		}
	}
	return sum
}

func equal(n, each int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(each)
	}
	return out
}

// ensembleWriter gathers the attributes of a TreeEnsemble.
type ensembleWriter struct {
	roots, features, missing                  []int64
	trueNodes, trueLeaves, falseNodes, falses []int64
	modes                                     []byte
	splits, members                           []float64
	targets                                   []int64
	weights                                   []float64
}

// add adds a tree.
func (w *ensembleWriter) add(t model.DecisionTree, rules []rule, column func(slot int, number bool) int64) {
	target := int64(len(w.roots))
	base, leaves := int64(len(w.modes)), int64(len(w.weights))
	w.roots = append(w.roots, base)
	side := func(node int) (at, leaf int64) {
		if node < 0 {
			return leaves + int64(^node), 1
		}
		return base + int64(node), 0
	}
	if t.Size() == 0 { // both sides of a split are the one leaf
		w.node(rule{mode: branchLEQ}, 0, leaves, 1, leaves, 1)
	}
	for i, r := range rules {
		slot, left, right := t.Split(i)
		yes, yesLeaf := side(left)
		no, noLeaf := side(right)
		w.node(r, column(slot, r.number), yes, yesLeaf, no, noLeaf)
	}
	for i := range t.Size() + 1 {
		w.targets = append(w.targets, target)
		w.weights = append(w.weights, t.Value(i))
	}
}

func (w *ensembleWriter) node(r rule, column, yes, yesLeaf, no, noLeaf int64) {
	w.features = append(w.features, column)
	w.modes = append(w.modes, r.mode)
	w.splits = append(w.splits, r.value)
	missing := int64(0)
	if r.missing {
		missing = 1
	}
	w.missing = append(w.missing, missing)
	w.trueNodes, w.trueLeaves = append(w.trueNodes, yes), append(w.trueLeaves, yesLeaf)
	w.falseNodes, w.falses = append(w.falseNodes, no), append(w.falses, noLeaf)
	if r.mode == branchMember {
		w.members = append(append(w.members, r.members...), notANumber)
	}
}

func (w *ensembleWriter) attributes() []attribute {
	doubles := func(v []float64) message { return tensor("", float64Type, []int{len(v)}, rawDoubles(v)) }
	all := []attribute{
		intAttribute("aggregate_function", 1), // the sum
		intsAttribute("leaf_targetids", w.targets),
		tensorAttribute("leaf_weights", doubles(w.weights)),
		intAttribute("n_targets", int64(len(w.roots))),
		intsAttribute("nodes_falseleafs", w.falses),
		intsAttribute("nodes_falsenodeids", w.falseNodes),
		intsAttribute("nodes_featureids", w.features),
		intsAttribute("nodes_missing_value_tracks_true", w.missing),
		tensorAttribute("nodes_modes", tensor("", uint8Type, []int{len(w.modes)}, w.modes)),
		tensorAttribute("nodes_splits", doubles(w.splits)),
		intsAttribute("nodes_trueleafs", w.trueLeaves),
		intsAttribute("nodes_truenodeids", w.trueNodes),
		intAttribute("post_transform", 0),
		intsAttribute("tree_roots", w.roots),
	}
	if len(w.members) > 0 {
		all = append(all, tensorAttribute("membership_values", doubles(w.members)))
	}
	return all
}
