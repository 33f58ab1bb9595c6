package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// sampledFrom returns the first layer that draws when predictions are sampled, and how many
// layers there are where none does.
func (m *Model) sampledFrom() int {
	for i, l := range m.layers {
		if s, ok := l.(layer.Sampler); ok && s.Samples() {
			return i
		}
	}
	return len(m.layers)
}

// NewSampler returns the memory that one goroutine needs for Predict and Sample.
func (m *Model) NewSampler() *Workspace {
	w := m.NewPredictor()
	if first := m.sampledFrom(); first > 0 && first < len(m.layers) { // what comes before is computed once
		w.values[first-1] = make([]float32, m.chunk*m.layers[first-1].Outputs())
	}
	w.samples = true
	return w
}

// Sample predicts the rows of a block by networks from each of which other values are left
// out: which ones follows from the seed and the number of the sample, and are the same of
// every row. each is given the predictions of sample s for the rows from one on, row-major,
// which are valid until it returns.
func (m *Model) Sample(w *Workspace, params []float32, b *kernel.Block, seed uint64, samples int, each func(s, from int, predictions []float32)) {
	m.check(params, b)
	first, last := m.sampledFrom(), len(m.layers)-1
	if w.owner != m || !w.samples || first > last {
		panic(fmt.Sprintf("model: samples need a workspace for them and a layer of the %d that draws", len(m.layers)))
	}
	out := make([]float32, min(b.Rows, m.chunk)*m.Outputs())
	for from := 0; from < b.Rows; from += m.chunk {
		to := min(from+m.chunk, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to, Sampled: true}
		predictions := out[:(to-from)*m.Outputs()]
		for s := range samples {
			seed := kernel.Mix(seed + uint64(s+1)*kernel.Golden)
			for i, l := range m.layers {
				if s > 0 && i < first {
					continue
				}
				c, rows := w.enter(i)
				c.Seed = layerSeed(seed, i)
				values := predictions
				if i < last {
					values = w.values[i][:rows*l.Outputs()]
				}
				l.Forward(c, m.part(params, i), values)
			}
			m.Finish(predictions)
			each(s, from, predictions)
		}
	}
	w.chunk = Chunk{}
}
