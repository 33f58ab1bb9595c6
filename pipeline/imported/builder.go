package imported

import (
	"fmt"
	"math"
	"slices"
)

// builder is a model as its library has it.
type builder struct {
	Ensemble
	inputs []input
	trees  []tree
}

// input is a feature with all that splits want to tell apart.
type input struct {
	Input
	category bool
	used     bool
}

// tree has splits in any order. The children that are leaves are complements.
type tree struct {
	splits []split
	values []float64
	root   int
	// covers are those of splits and of leaves; none where they are not known.
	covers, leafCovers []float64
}

// split asks a question of an input.
type split struct {
	input       int
	left, right int
	// Numbers: x goes left if it is at most cut. Where zeros is set, numbers of that
	// range go where missing ones do.
	cut   float64
	zeros *[2]float64
	// Categories: those of the set of ids go left, or all others.
	set      map[int]bool
	inverted bool
	// missing: values that are missing go left.
	missing bool
}

// build turns a model into its one form.
func (b *builder) build() (*Ensemble, error) {
	if len(b.trees) == 0 || len(b.trees) > maxTrees || len(b.inputs) > maxInputs {
		return nil, fmt.Errorf("%d trees of %d features: there may be 1 to %d of %d", len(b.trees), len(b.inputs), maxTrees, maxInputs)
	}
	total := 0
	for t := range b.trees {
		if total += len(b.trees[t].splits); total > maxSplits || len(b.trees[t].values) > maxLeaves {
			return nil, fmt.Errorf("tree %d: more than %d leaves, or %d splits in all", t, maxLeaves, maxSplits)
		}
		if err := b.collect(&b.trees[t]); err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
	}
	places := make([]int, len(b.inputs)) // among those that are used
	for i := range b.inputs {
		in := &b.inputs[i]
		if !in.used {
			continue
		}
		if in.category {
			in.Cuts = nil
			if in.Values == nil {
				in.Values = []string{}
			}
		} else {
			in.Values = nil
			slices.Sort(in.Cuts)
			in.Cuts = slices.Compact(in.Cuts)
		}
		places[i] = len(b.Inputs)
		b.Inputs = append(b.Inputs, in.Input)
	}
	if len(b.Inputs) == 0 {
		return nil, fmt.Errorf("no tree has a split: the model is a constant")
	}
	for t := range b.trees {
		out, err := b.tree(&b.trees[t], places)
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
		b.Trees = append(b.Trees, out)
	}
	e := b.Ensemble
	return &e, e.check()
}

// collect notes the inputs and cuts of a tree.
func (b *builder) collect(t *tree) error {
	for i := range t.splits {
		s := &t.splits[i]
		if s.input < 0 || s.input >= len(b.inputs) {
			return fmt.Errorf("split %d reads feature %d of %d", i, s.input, len(b.inputs))
		}
		in := &b.inputs[s.input]
		in.used = true
		if in.category != (s.set != nil) {
			return fmt.Errorf("split %d of feature %q is not one of its kind: a feature is a number or a category in all trees", i, in.Name)
		}
		if s.set != nil {
			continue
		}
		switch {
		case finite(s.cut):
			in.Cuts = append(in.Cuts, s.cut)
		case !math.IsInf(s.cut, 1): // all numbers go left
			return fmt.Errorf("split %d has the threshold %v", i, s.cut)
		}
		if s.zeros != nil {
			in.Cuts = append(in.Cuts, below(s.zeros[0]), s.zeros[1])
		}
	}
	return nil
}

// tree brings one tree into pre-order.
func (b *builder) tree(t *tree, places []int) (out Tree, err error) {
	var covers, leafCovers []float64
	known := len(t.covers) == len(t.splits) && len(t.leafCovers) == len(t.values)
	seenSplits, seenLeaves := make([]bool, len(t.splits)), make([]bool, len(t.values))
	var visit func(node int) (int, error)
	visit = func(node int) (int, error) {
		if node < 0 {
			if ^node >= len(t.values) || seenLeaves[^node] {
				return 0, fmt.Errorf("leaf %d is not there, or is reached twice", ^node)
			}
			seenLeaves[^node] = true
			out.Values = append(out.Values, t.values[^node])
			if known {
				leafCovers = append(leafCovers, t.leafCovers[^node])
			}
			return ^(len(out.Values) - 1), nil
		}
		if node >= len(t.splits) || seenSplits[node] {
			return 0, fmt.Errorf("split %d is not there, or is reached twice", node)
		}
		seenSplits[node] = true
		s := &t.splits[node]
		in := &b.inputs[s.input]
		at := len(out.Splits)
		if known {
			covers = append(covers, t.covers[node])
		}
		out.Splits = append(out.Splits, Split{Input: places[s.input], Left: s.borders(in)})
		yes, err := visit(s.left)
		if err != nil {
			return 0, err
		}
		no, err := visit(s.right)
		out.Splits[at].Yes, out.Splits[at].No = yes, no
		return at, err
	}
	_, err = visit(t.root)
	out.Cover = append(covers, leafCovers...)
	return out, err
}

// borders returns the ids that go left, as Split.Left has them.
func (s *split) borders(in *input) (out []int) {
	ends := []int{0, 1} // where the answer may change
	if s.set != nil {
		for id := range s.set {
			ends = append(ends, id, id+1)
		}
	} else {
		ends = append(ends, in.id(s.cut)+1)
		if s.zeros != nil {
			ends = append(ends, in.id(s.zeros[0]), in.id(s.zeros[1])+1)
		}
	}
	slices.Sort(ends)
	was := false
	for _, id := range slices.Compact(ends) {
		if is := id < in.IDs() && s.goesLeft(in, id); is != was {
			out = append(out, id)
			was = is
		}
	}
	if was {
		out = append(out, in.IDs())
	}
	return out
}

func (s *split) goesLeft(in *input, id int) bool {
	switch {
	case id == 0:
		return s.missing
	case s.set != nil:
		return s.set[id] != s.inverted
	}
	if s.zeros != nil && id >= in.id(s.zeros[0]) && id <= in.id(s.zeros[1]) {
		return s.missing
	}
	return id <= in.id(s.cut)
}

// id returns the id of a number.
func (in *Input) id(x float64) int {
	n, _ := slices.BinarySearch(in.Cuts, x) // how many are below
	return n + 1
}
