package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// Inputs says which input each slot of a shape is of, by its place: what the slots of an
// input bring is summed.
type Inputs struct {
	Names                             []string
	Numbers, Categories, Lists, Terms []int
}

// Reference is what rows are compared with where a model has no trees: the mean of the
// training rows, as far as it is known.
type Reference struct {
	// Numbers and Lists are by slot, as the model reads them.
	Numbers []float32
	Lists   [][]float32
	// Categories are by slot the share of the training rows that have each id; nil where
	// that is not known, and nothing is taken off what an id brings. The reference has no
	// terms.
	Categories [][]float64
}

// Explainer says what inputs brought to the raw scores of a model with some parameters,
// so that they add up to the raw score less that of the reference. It is immutable.
type Explainer struct {
	model  *Model
	params []float32
	inputs Inputs
	way    way
}

// way is how a kind of model is explained.
type way interface {
	// base returns the raw score of the reference.
	base(output int) float64
	// add adds to out[input][r] what inputs brought to an output of row rows[r].
	add(s *Explaining, b *kernel.Block, rows []int32, output int, out [][]float64)
}

// Explaining is the memory that one goroutine explains in.
type Explaining struct{ keep any }

// NewExplainer returns the explainer of a model with parameters, which must not change any
// more. It fails where nobody knows how.
func (m *Model) NewExplainer(params []float32, inputs Inputs, to Reference) (*Explainer, error) {
	m.check(params, nil)
	e := &Explainer{model: m, params: params, inputs: inputs}
	var err error
	switch first := m.layers[0].(type) {
	case *Forest:
		e.way = explainForest(first, params, inputs)
	case *importedLayer:
		e.way, err = explainImported(first, m.shape, inputs)
	case *linear:
		e.way = explainLinear(first, params, inputs, to)
	case layer.Additive:
		e.way = explainNetwork(m, first, params, inputs, to)
	default:
		err = fmt.Errorf("a %s model is not explained", m.name)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Inputs returns the names of the inputs.
func (e *Explainer) Inputs() []string { return e.inputs.Names }

// Base returns the raw score of an output that rows are compared with.
func (e *Explainer) Base(output int) float64 { return e.way.base(output) }

// Explain sets out[input][r] to what each input brought to the raw score of an output for
// row rows[r] of a block. What becomes of a row depends on that row alone, to the bit.
func (e *Explainer) Explain(s *Explaining, b *kernel.Block, rows []int32, output int, out [][]float64) {
	for _, column := range out {
		clear(column[:len(rows)])
	}
	e.way.add(s, b, rows, output, out)
}

// RawScores sets out to the raw scores of a block: the log-odds of a binary label, the
// logarithm of a count's mean, of several classes what the softmax is of, else the value
// itself; of trees that are averaged what is averaged. No calibration is in them.
func (m *Model) RawScores(w *Workspace, params []float32, b *kernel.Block, out []float32) {
	m.check(params, b)
	outputs := m.Outputs()
	for from := 0; from < b.Rows; from += m.chunk {
		to := min(from+m.chunk, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to}
		values := out[from*outputs : to*outputs]
		m.forward(w, params, values, 0)
		if f := m.Forest(); f != nil && f.Averages() {
			m.loss.Predict(values)
		}
	}
	w.chunk = Chunk{}
}
