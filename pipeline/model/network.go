package model

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// chunkRows is how many rows go through all layers at a time: the values of a
// narrow layer stay in the first-level cache, and a workspace does not grow with
// the block. The sums of a gradient run chunk by chunk, so another number gives
// other bits.
const chunkRows = 512

// longRows is how many rows of training go forward at once through a model of one layer without
// scratch: memory is read faster in runs of a page.
const longRows = 2 * chunkRows

// maxWorkspace bounds the bytes of a workspace, which is not bounded by the parameters: a narrow
// layer between wide ones has few of them.
const maxWorkspace = 512 << 20

// checkWorkspace returns what is wrong with layers whose values take too much memory.
func checkWorkspace(layers []Layer, chunk int) error {
	bound := maxWorkspace / (4 * chunk)
	floats := 0
	for _, l := range layers {
		floats += 2*l.Outputs() + l.Scratch()
	}
	if floats <= bound {
		return nil
	}
	if first := layers[0].Scratch(); first > floats/2 {
		return fmt.Errorf("its numbers and embeddings want %d values of memory for a row, of %d in all layers, the bound is %d: lower the size of the encoders that embed, or embed fewer categories", first, floats, bound)
	}
	return fmt.Errorf("its layers want %d values of memory for a row, the bound is %d: lower model.hidden or the channels of model.layers, or leave dropout or normalization out", floats, bound)
}

// Model is a function from parameters and rows to predictions, and the gradient
// of its loss: layers, each reading the values of the one before, and a loss of the
// last one's values. It is immutable, and its methods may be called concurrently with
// different workspaces; Gradient and Predict do not allocate. Vectors of a length
// other than Size and blocks of another shape panic.
type Model struct {
	name   string
	shape  kernel.Shape
	loss   Loss
	layers []Layer
	views  []View
	ends   []int  // by layer: the offset behind its parameters
	of     *Model // that this one is a narrow one of, or nil
	tracks bool   // a layer is a Tracker
	// calibration makes predictions of the outputs instead of the loss, unless it is nil; raw:
	// nothing does.
	calibration *calibration.Calibration
	raw         bool
	chunk       int // how many rows go through all layers at a time
}

// NewNetwork returns the model of the given layers, the first of which reads
// blocks of the given shape. The last layer must give what the loss wants, and be
// a Rescaler if the loss scales labels; views of two layers must not share a
// name.
func NewNetwork(name string, shape kernel.Shape, loss Loss, layers ...Layer) (*Model, error) {
	return newNetwork(name, shape, loss, chunkRows, layers...)
}

// newNetwork is NewNetwork of a model through which so many rows go at a time.
func newNetwork(name string, shape kernel.Shape, loss Loss, chunk int, layers ...Layer) (*Model, error) {
	if len(layers) == 0 {
		return nil, fmt.Errorf("a network without layers")
	}
	m := &Model{name: name, shape: shape, loss: loss, layers: layers, chunk: chunk}
	offset := 0
	for i, l := range layers {
		if l.Outputs() < 1 {
			return nil, fmt.Errorf("layer %d has %d outputs", i, l.Outputs())
		}
		for _, v := range l.Views() {
			if _, taken := Find(m, v.Name); taken {
				return nil, fmt.Errorf("two views are called %s", v.Name)
			}
			v.Offset = offset
			offset += v.Size()
			m.views = append(m.views, v)
		}
		m.ends = append(m.ends, offset)
		if _, ok := l.(layer.Tracker); ok {
			m.tracks = true
		}
	}
	if offset > MaxSize {
		return nil, fmt.Errorf("%d parameters, the bound is %d", offset, MaxSize)
	}
	if err := checkWorkspace(layers, chunk); err != nil {
		return nil, err
	}
	last := layers[len(layers)-1]
	if last.Outputs() != loss.Outputs() {
		return nil, fmt.Errorf("the model gives %d values a row, loss %s wants %d", last.Outputs(), loss.Type(), loss.Outputs())
	}
	if _, ok := last.(Rescaler); !ok && loss.Scale(1, 2) != (Scale{}) {
		return nil, fmt.Errorf("the last layer cannot be rescaled to the labels of loss %s", loss.Type())
	}
	return m, nil
}

// Type is the model's name in a spec: "linear".
func (m *Model) Type() string { return m.name }

// Loss is what it minimises.
func (m *Model) Loss() Loss { return m.loss }

// Shape is the shape of the blocks that the model reads.
func (m *Model) Shape() kernel.Shape { return m.shape }

// Outputs is how many values Predict gives for each row, at least 1.
func (m *Model) Outputs() int { return m.loss.Outputs() }

// Size is the length of the parameter vector.
func (m *Model) Size() int { return m.ends[len(m.ends)-1] }

// Views returns the named parts of the vector: ascending, disjoint, covering
// all of it. The caller must not change them.
func (m *Model) Views() []View { return m.views }

// Deep reports whether more than the first layer has parameters.
func (m *Model) Deep() bool { return m.First() < m.Size() }

// First is how many parameters the first layer has.
func (m *Model) First() int { return m.ends[0] }

// part returns layer i's part of a vector.
func (m *Model) part(v []float32, i int) []float32 {
	from := 0
	if i > 0 {
		from = m.ends[i-1]
	}
	return v[from:m.ends[i]]
}

// layerSeed makes the seeds of layers differ.
func layerSeed(seed uint64, layer int) uint64 {
	if layer == 0 {
		return seed
	}
	return kernel.Mix(seed + uint64(layer)*kernel.Golden)
}

// Init sets the parameters from which training starts, given the mean of the labels
// as they are learned. The same seed gives the same bits on every machine.
func (m *Model) Init(params []float32, seed uint64, mean float64) {
	m.check(params, nil)
	last := len(m.layers) - 1
	for i, l := range m.layers {
		l.Init(m.part(params, i), layerSeed(seed, i))
	}
	if r, ok := m.layers[last].(Rescaler); ok {
		start := m.loss.Start(mean)
		if f := m.Forest(); f != nil && f.Averages() {
			for k, p := range m.Constant(mean) {
				start[k] = float64(p)
			}
		}
		r.Rescale(m.part(params, last), start, 1)
	}
}

// Workspace is all the memory that a model's loops need besides their
// arguments. It is for one goroutine, and for the model that made it.
type Workspace struct {
	owner *Model
	chunk Chunk
	// By layer: the values of a chunk, the gradient by them (not of the last
	// layer, whose values the loss overwrites), and the layer's scratch.
	values, grads, scratch [][]float32
	kept                   []any // by layer
	predicts               bool  // has no memory for gradients
	samples                bool  // has memory for Sample
}

// NewWorkspace returns the memory that one goroutine needs for Gradient and Predict.
func (m *Model) NewWorkspace() *Workspace {
	w := &Workspace{owner: m, kept: make([]any, len(m.layers))}
	for i, l := range m.layers {
		rows := m.chunk
		if len(m.layers) == 1 && l.Scratch() == 0 {
			rows = longRows
		}
		w.scratch = append(w.scratch, make([]float32, m.chunk*l.Scratch()))
		if m.inPlace(i) {
			w.values = append(w.values, w.values[i-1])
		} else {
			w.values = append(w.values, make([]float32, rows*l.Outputs()))
		}
		switch {
		case i+1 == len(m.layers):
		case m.inPlace(i):
			w.grads = append(w.grads, w.grads[i-1])
		default:
			w.grads = append(w.grads, make([]float32, m.chunk*l.Outputs()))
		}
	}
	return w
}

// inPlace reports whether layer i has its values and their gradient where the layer before it has
// its own. The last one has not: the loss overwrites its values.
func (m *Model) inPlace(i int) bool {
	l, ok := m.layers[i].(layer.InPlace)
	return ok && i > 0 && i+1 < len(m.layers) && l.InPlace()
}

// NewPredictor returns the memory that one goroutine needs for Predict alone: two layers' values
// at a time, and one layer's scratch.
func (m *Model) NewPredictor() *Workspace {
	w := &Workspace{owner: m, kept: make([]any, len(m.layers)), predicts: true}
	var values [2]int
	scratch, turn := 0, 0
	places := make([]int, len(m.layers))
	for i, l := range m.layers {
		scratch = max(scratch, l.Scratch())
		if !m.inPlace(i) {
			turn = 1 - turn
		}
		places[i] = turn
		if i+1 < len(m.layers) { // the last one's go to where predictions are wanted
			values[turn] = max(values[turn], l.Outputs())
		}
	}
	turns, shared := [2][]float32{make([]float32, m.chunk*values[0]), make([]float32, m.chunk*values[1])}, make([]float32, m.chunk*scratch)
	for _, place := range places {
		w.values, w.scratch = append(w.values, turns[place]), append(w.scratch, shared)
	}
	return w
}

// enter makes w's chunk what layer i sees of the rows.
func (w *Workspace) enter(i int) (c *Chunk, rows int) {
	c = &w.chunk
	rows = c.To - c.From
	c.In, c.InGrad, c.Keep = nil, nil, &w.kept[i]
	if i > 0 {
		c.In = w.values[i-1][:rows*w.owner.layers[i-1].Outputs()]
	}
	c.Scratch = w.scratch[i][:rows*w.owner.layers[i].Scratch()]
	return c, rows
}

// forward sets out to the last layer's values of the chunk's rows.
func (m *Model) forward(w *Workspace, params, out []float32, seed uint64) {
	last := len(m.layers) - 1
	m.below(w, params, last, seed)
	c, _ := w.enter(last)
	c.Seed = layerSeed(seed, last)
	m.layers[last].Forward(c, m.part(params, last), out)
}

// below computes the values of the chunk's rows of the layers before one.
func (m *Model) below(w *Workspace, params []float32, before int, seed uint64) {
	for i, l := range m.layers[:before] {
		c, rows := w.enter(i)
		c.Seed = layerSeed(seed, i)
		l.Forward(c, m.part(params, i), w.values[i][:rows*l.Outputs()])
	}
}

// backward adds the gradient of the chunk's rows, given that by the last
// layer's values.
func (m *Model) backward(w *Workspace, params, outGrad, grad []float32, seed uint64) {
	for i := len(m.layers) - 1; i >= 0; i-- {
		c, rows := w.enter(i)
		c.Seed = layerSeed(seed, i)
		if i > 0 {
			c.InGrad = w.grads[i-1][:rows*m.layers[i-1].Outputs()]
		}
		m.layers[i].Backward(c, m.part(params, i), outGrad, m.part(grad, i))
		outGrad = c.InGrad
	}
}

// Gradient overwrites grad with the gradient of the mean loss over the block's rows
// (without regularization) and returns the sum of the losses; where rows have weights, of
// losses times these. The block must have labels, in the unit of the loss's Scale, and at
// least one row. seed decides what the step draws at random.
func (m *Model) Gradient(w *Workspace, params []float32, b *kernel.Block, seed uint64, grad []float32) (loss float64) {
	clear(grad)
	return m.AddGradient(w, params, b, seed, grad)
}

// AddGradient is Gradient, but adds to grad.
func (m *Model) AddGradient(w *Workspace, params []float32, b *kernel.Block, seed uint64, grad []float32) (loss float64) {
	m.check(params, b)
	m.check(grad, nil)
	if len(b.Labels) != b.Rows || b.Rows == 0 || w.predicts || w.owner != m && (m.of == nil || w.owner != m.of) {
		panic("model: a gradient needs labelled rows and a workspace of the model")
	}
	weight := 1 / float32(b.Rows)
	outputs := m.Outputs()
	values := w.values[len(w.values)-1]
	run, step := len(values)/outputs, m.chunk
	if m.tracks { // chunks of about the same size, whose statistics are worth the same
		chunks := (b.Rows + m.chunk - 1) / m.chunk
		step = (b.Rows + chunks - 1) / chunks
		run = step
	}
	for from := 0; from < b.Rows; from += step {
		to := min(from+step, b.Rows)
		if from%run == 0 {
			w.chunk = Chunk{Block: b, From: from, To: min(from+run, b.Rows), Training: true}
			m.forward(w, params, values[:(w.chunk.To-from)*outputs], seed)
		}
		w.chunk = Chunk{Block: b, From: from, To: to, Training: true}
		out := values[from%run*outputs:][:(to-from)*outputs]
		loss += m.lossOf(out, b, from, to, weight)
		m.backward(w, params, out, grad, seed)
	}
	w.chunk = Chunk{}
	return loss
}

// Tracks reports whether Track does anything.
func (m *Model) Tracks() bool { return m.tracks }

// Track takes what layers have learned by looking at the rows of the last step into params:
// running statistics, which no gradient moves.
func (m *Model) Track(w *Workspace, params []float32) {
	for i, l := range m.layers {
		if t, ok := l.(layer.Tracker); ok {
			t.Track(&w.kept[i], m.part(params, i))
		}
	}
}

// Predict sets out to the predictions, row-major. A row's bits do not depend on the
// block that it is in.
func (m *Model) Predict(w *Workspace, params []float32, b *kernel.Block, out []float32) {
	m.check(params, b)
	outputs := m.Outputs()
	if len(out) != b.Rows*outputs || w.owner != m {
		panic("model: a prediction needs room for each row's values and a workspace of the model")
	}
	for from := 0; from < b.Rows; from += m.chunk {
		to := min(from+m.chunk, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to}
		values := out[from*outputs : to*outputs]
		m.forward(w, params, values, 0)
		m.Finish(values)
	}
	w.chunk = Chunk{}
}

// PredictAgain is Predict of a block that may have been predicted before, with
// parameters that may begin with the same trees: those are not walked again. memo is
// what it keeps of the block, PredictKeeps bytes a row; it begins as nil.
func (m *Model) PredictAgain(w *Workspace, params []float32, b *kernel.Block, out []float32, memo *any) {
	f := m.Forest()
	if f == nil {
		m.Predict(w, params, b, out)
		return
	}
	m.check(params, b)
	f.forwardAgain(&w.kept[0], params, b, out, memo)
	m.Finish(out)
}

// PredictKeeps is how many bytes a row PredictAgain keeps.
func (m *Model) PredictKeeps() int {
	if m.Forest() == nil {
		return 0
	}
	return 4 * m.Outputs()
}

// LossOf returns the sum of the losses of a block's rows, whose labels are in the unit
// of the loss's Scale.
func (m *Model) LossOf(w *Workspace, params []float32, b *kernel.Block) (loss float64) {
	m.check(params, b)
	if w.predicts {
		panic("model: a loss needs a workspace, not a predictor's")
	}
	outputs := m.Outputs()
	for from := 0; from < b.Rows; from += m.chunk {
		to := min(from+m.chunk, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to}
		out := w.values[len(w.values)-1][:(to-from)*outputs]
		m.forward(w, params, out, 0)
		loss += m.lossOf(out, b, from, to, 1)
	}
	w.chunk = Chunk{}
	return loss
}

// lossOf is the loss's Gradient of rows [from, to) of a block, as much as they weigh.
func (m *Model) lossOf(out []float32, b *kernel.Block, from, to int, weight float32) float64 {
	if b.Weights == nil {
		return m.loss.Gradient(out, b.Labels[from:to], weight)
	}
	return WeightedGradient(m.loss, out, b.Labels[from:to], b.Weights[from:to], weight)
}

// Rescale turns params that were learned with scaled labels into params that predict
// labels as they are. A scale that the loss does not make panics.
func (m *Model) Rescale(params []float32, s Scale) {
	m.check(params, nil)
	if m.loss.Scale(s.Mean, s.Deviation) != s {
		panic("model: the scale is not one of the loss's")
	}
	if s == (Scale{}) {
		return
	}
	last := len(m.layers) - 1
	m.layers[last].(Rescaler).Rescale(m.part(params, last), slices.Repeat([]float64{s.Mean}, m.Outputs()), s.Deviation)
}

// Unscale is the inverse of Rescale.
func (m *Model) Unscale(params []float32, s Scale) {
	m.check(params, nil)
	if s == (Scale{}) {
		return
	}
	last := len(m.layers) - 1
	m.layers[last].(Rescaler).Rescale(m.part(params, last), slices.Repeat([]float64{-s.Mean / s.Deviation}, m.Outputs()), 1/s.Deviation)
}

// Checker is a Layer whose parameters are more than numbers.
type Checker interface {
	// Check returns what is wrong with parameters that came from outside.
	Check(params []float32) error
}

// CheckParams returns what is wrong with parameters that came from outside.
func (m *Model) CheckParams(params []float32) error {
	for i, l := range m.layers {
		if c, ok := l.(Checker); ok {
			if err := c.Check(m.part(params, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// check panics on a vector or block that is not of this model's shape: that is
// a bug of the caller.
func (m *Model) check(v []float32, b *kernel.Block) {
	if len(v) != m.Size() {
		panic(fmt.Sprintf("model: a vector of %d elements for %d parameters", len(v), m.Size()))
	}
	if b != nil {
		if problem := m.shape.Check(b); problem != "" {
			panic("model: " + problem)
		}
	}
}
