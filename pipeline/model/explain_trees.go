package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/shapley"
)

// treesExplained explains trees by their Shapley values.
type treesExplained struct {
	by    []*shapley.Explainer // outputs
	bases []float64
	slots []int // input of each
}

func (t *treesExplained) base(output int) float64 { return t.bases[output] }

func (t *treesExplained) add(s *Explaining, b *kernel.Block, rows []int32, output int, out [][]float64) {
	memory, _ := s.keep.(*shapley.Scratch)
	if memory == nil {
		memory = new(shapley.Scratch)
		s.keep = memory
	}
	slots := make([][]float64, len(t.slots))
	for slot, input := range t.slots {
		slots[slot] = out[input]
	}
	t.by[output].Add(memory, b, rows, slots)
}

// explainForest explains own trees.
func explainForest(f *Forest, params []float32, inputs Inputs) way {
	trees := make([][]shapley.Tree, f.outputs)
	count, share := f.Count(params), 1.0
	if f.means != nil {
		share = 1 / float64(max(1, count/f.outputs))
	}
	for t := range count {
		tree := f.Tree(params, t)
		trees[t%f.outputs] = append(trees[t%f.outputs], newCovered(&tree, share))
	}
	e := &treesExplained{slots: inputs.Categories}
	for k, bias := range f.Bias(params) {
		e.by = append(e.by, shapley.New(trees[k], f.shape.Cardinalities))
		e.bases = append(e.bases, float64(bias)+e.by[k].Base())
	}
	return e
}

// covered is a tree with the rows of its splits.
type covered struct {
	*Tree
	rows  []float64
	share float64 // of its values that the score has
}

func newCovered(t *Tree, share float64) *covered {
	c := &covered{t, make([]float64, len(t.Splits)), share}
	var visit func(node int) float64
	visit = func(node int) float64 {
		if node < 0 {
			return float64(t.Rows[^node])
		}
		c.rows[node] = visit(t.Splits[node].Left) + visit(t.Splits[node].Right)
		return c.rows[node]
	}
	visit(t.Root())
	return c
}

func (c *covered) Value(leaf int) float64 { return float64(c.Tree.Value(leaf) * c.share) }

func (c *covered) Cover(node int) float64 {
	if node < 0 {
		return float64(c.Rows[^node])
	}
	return c.rows[node]
}

// coveredImport is an imported tree.
type coveredImport struct {
	ImportedTree
	slope float64
}

func (c coveredImport) Value(leaf int) float64 { return float64(c.Values[leaf] * c.slope) }

func (c coveredImport) Cover(node int) float64 {
	if node < 0 {
		return c.Tree.Cover[len(c.Splits)+^node]
	}
	return c.Tree.Cover[node]
}

// explainImported explains imported trees.
func explainImported(l *importedLayer, shape kernel.Shape, inputs Inputs) (way, error) {
	all, err := ImportedTrees(l.ensemble, shape)
	if err != nil {
		return nil, err
	}
	trees := make([]shapley.Tree, len(all))
	for t, tree := range all {
		if len(tree.Tree.Cover) == 0 && len(tree.Splits) > 0 {
			return nil, fmt.Errorf("the file of the imported trees does not say how many training rows the nodes of tree %d had", t)
		}
		trees[t] = coveredImport{tree, l.ensemble.Slope}
	}
	e := shapley.New(trees, shape.Cardinalities)
	return &treesExplained{[]*shapley.Explainer{e}, []float64{float64(l.ensemble.Base*l.ensemble.Slope) + e.Base()}, inputs.Categories}, nil
}
