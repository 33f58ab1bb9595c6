package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// maxRouterBytes bounds the tables of one model's routers.
const maxRouterBytes = 1 << 30

// NewImported returns the model of trees that another library has grown, for a loss of
// the label's type and blocks whose category slots are named as its inputs. Its one
// parameter is what the sum begins with: there is nothing to learn.
func NewImported(e *imported.Ensemble, loss pipeline.Choice, shape kernel.Shape) (*Model, error) {
	l, ok := loss.Options.(Loss)
	if !ok {
		return nil, fmt.Errorf("loss type %q", loss.Name)
	}
	if (e.Link == imported.Logistic) != (l.For() == Binary) {
		return nil, fmt.Errorf("the imported trees have the link %s, the label is a %s", e.Link, l.For())
	}
	if err := checkShape(shape); err != nil {
		return nil, err
	}
	layer, err := newImportedLayer(e, shape)
	if err != nil {
		return nil, err
	}
	return NewNetwork("trees", shape, linked{l, e}, layer)
}

// Sums returns a function that sets out to the sums of the trees for the rows of a
// block of a shape, as the library itself has them.
func Sums(e *imported.Ensemble, shape kernel.Shape) (func(b *kernel.Block, out []float64), error) {
	layer, err := newImportedLayer(e, shape)
	if err != nil {
		return nil, err
	}
	return func(b *kernel.Block, out []float64) { layer.sum(b, 0, b.Rows, out) }, nil
}

// Imported reports whether the model was imported, so that it has nothing to learn.
func (m *Model) Imported() bool {
	_, ok := m.layers[0].(*importedLayer)
	return ok
}

// importedLayer adds trees up as their library does.
type importedLayer struct {
	ensemble *imported.Ensemble
	routers  []*router
}

// ImportedTree is a tree of another library, whose inputs have slots.
type ImportedTree struct {
	*imported.Tree
	slots []int
}

// Size implements DecisionTree.
func (t ImportedTree) Size() int { return len(t.Splits) }

// Split implements DecisionTree.
func (t ImportedTree) Split(i int) (slot, left, right int) {
	s := &t.Splits[i]
	return t.slots[s.Input], s.Yes, s.No
}

// Has implements DecisionTree.
func (t ImportedTree) Has(i, id int) bool { return t.Splits[i].Has(id) }

// Value implements DecisionTree.
func (t ImportedTree) Value(leaf int) float64 { return t.Values[leaf] }

// ImportedTrees returns the trees of an ensemble, each input with the slot of its name in a
// shape.
func ImportedTrees(e *imported.Ensemble, shape kernel.Shape) ([]ImportedTree, error) {
	slots := make([]int, len(e.Inputs))
	for i := range e.Inputs {
		in := &e.Inputs[i]
		slots[i] = -1
		for j, name := range shape.CategoryNames {
			if name == in.Name && shape.Cardinalities[j] == in.IDs() {
				slots[i] = j
			}
		}
		if slots[i] < 0 {
			return nil, fmt.Errorf("no slot %q of %d ids", in.Name, in.IDs())
		}
	}
	trees := make([]ImportedTree, len(e.Trees))
	for t := range trees {
		trees[t] = ImportedTree{&e.Trees[t], slots}
	}
	return trees, nil
}

func newImportedLayer(e *imported.Ensemble, shape kernel.Shape) (*importedLayer, error) {
	trees, err := ImportedTrees(e, shape)
	if err != nil {
		return nil, err
	}
	l := &importedLayer{ensemble: e}
	bytes := 0
	for _, tree := range trees {
		seen := map[int]bool{}
		for _, s := range tree.Splits {
			if !seen[s.Input] {
				bytes += (len(tree.Values)/64 + 1) * 8 * e.Inputs[s.Input].IDs()
			}
			seen[s.Input] = true
		}
		if bytes > maxRouterBytes {
			return nil, fmt.Errorf("the trees take more than %d bytes to score by", maxRouterBytes)
		}
		r, _ := newRouter(shape, tree)
		l.routers = append(l.routers, r)
	}
	return l, nil
}

// sum sets out to the sums of rows [from, to).
func (l *importedLayer) sum(b *kernel.Block, from, to int, out []float64) {
	for i := range out {
		out[i] = l.ensemble.Base
	}
	var masks [routedRows]uint64
	var leaf [routedRows]uint16
	for ; from < to; from += routedRows {
		n := min(routedRows, to-from)
		for t, r := range l.routers {
			r.route(b, from, masks[:n], leaf[:n])
			values := l.ensemble.Trees[t].Values
			if l.ensemble.Single {
				for i, k := range leaf[:n] {
					out[i] = float64(float32(out[i] + values[k]))
				}
				continue
			}
			for i, k := range leaf[:n] {
				out[i] += values[k]
			}
		}
		out = out[n:]
	}
}

// Outputs implements Layer.
func (l *importedLayer) Outputs() int { return 1 }

// Views implements Layer.
func (l *importedLayer) Views() []View { return []View{{Name: "bias", Shape: []int{1}, Bias: true}} }

// Scratch implements Layer.
func (l *importedLayer) Scratch() int { return 0 }

// Init implements Layer.
func (l *importedLayer) Init(params []float32, _ uint64) { params[0] = float32(l.ensemble.Base) }

// Rescale implements Rescaler: the trees know the label's unit, and where to begin.
func (l *importedLayer) Rescale([]float32, []float64, float64) {}

// Backward implements Layer.
func (l *importedLayer) Backward(*Chunk, []float32, []float32, []float32) {
	panic("model: imported trees are not descended")
}

// Forward implements Layer.
func (l *importedLayer) Forward(c *Chunk, _, out []float32) {
	var sums [chunkRows]float64
	l.sum(c.Block, c.From, c.To, sums[:len(out)])
	for i, s := range sums[:len(out)] {
		out[i] = float32(float64(s * l.ensemble.Slope))
	}
}

// linked is a loss by labels as they are, of predictions that an ensemble makes.
type linked struct {
	Loss
	ensemble *imported.Ensemble
}

// Scale implements Loss.
func (l linked) Scale(_, _ float64) Scale { return Scale{} }

// Predict implements Loss.
func (l linked) Predict(out []float32) {
	switch l.ensemble.Link {
	case imported.Exp:
		kernel.Exp(out, out)
	case imported.Logistic:
		l.Loss.Predict(out)
	}
}
