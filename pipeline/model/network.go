package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// chunkRows is how many rows go through all layers at a time: the values of a
// narrow layer stay in the first-level cache, and a workspace does not grow with
// the block. The sums of a gradient run chunk by chunk, so another number gives
// other bits.
const chunkRows = 512

// network is a Model made of layers, each reading the values of the one before,
// and a loss of the last one's values.
type network struct {
	name   string
	shape  kernel.Shape
	loss   Loss
	layers []Layer
	views  []View
	ends   []int // by layer: the offset behind its parameters
}

// NewNetwork returns the model of the given layers, the first of which reads
// blocks of the given shape. The last layer must give what the loss wants, and be
// a Rescaler if the loss scales labels; views of two layers must not share a
// name.
func NewNetwork(name string, shape kernel.Shape, loss Loss, layers ...Layer) (Model, error) {
	if len(layers) == 0 {
		return nil, fmt.Errorf("a network without layers")
	}
	n := &network{name: name, shape: shape, loss: loss, layers: layers}
	offset := 0
	for i, l := range layers {
		if l.Outputs() < 1 {
			return nil, fmt.Errorf("layer %d has %d outputs", i, l.Outputs())
		}
		for _, v := range l.Views() {
			if _, taken := Find(n, v.Name); taken {
				return nil, fmt.Errorf("two views are called %s", v.Name)
			}
			v.Offset = offset
			offset += v.Size()
			n.views = append(n.views, v)
		}
		n.ends = append(n.ends, offset)
	}
	if offset > MaxSize {
		return nil, fmt.Errorf("%d parameters, the bound is %d", offset, MaxSize)
	}
	last := layers[len(layers)-1]
	if last.Outputs() != loss.Outputs() {
		return nil, fmt.Errorf("the model gives %d values a row, loss %s wants %d", last.Outputs(), loss.Type(), loss.Outputs())
	}
	if _, ok := last.(Rescaler); !ok && loss.Scale(1, 2) != (Scale{}) {
		return nil, fmt.Errorf("the last layer cannot be rescaled to the labels of loss %s", loss.Type())
	}
	return n, nil
}

func (n *network) Type() string        { return n.name }
func (n *network) Loss() Loss          { return n.loss }
func (n *network) Shape() kernel.Shape { return n.shape }
func (n *network) Outputs() int        { return n.loss.Outputs() }
func (n *network) Size() int           { return n.ends[len(n.ends)-1] }
func (n *network) Views() []View       { return n.views }

// part returns layer i's part of a vector.
func (n *network) part(v []float32, i int) []float32 {
	from := 0
	if i > 0 {
		from = n.ends[i-1]
	}
	return v[from:n.ends[i]]
}

// layerSeed makes the seeds of layers differ.
func layerSeed(seed uint64, layer int) uint64 { return seed + uint64(layer)*0x9e3779b97f4a7c15 }

func (n *network) Init(params []float32, seed uint64) {
	n.check(params, nil)
	for i, l := range n.layers {
		l.Init(n.part(params, i), layerSeed(seed, i))
	}
}

// Workspace is all the memory that a model's loops need besides their
// arguments. It is for one goroutine, and for the model that made it.
type Workspace struct {
	owner *network
	chunk Chunk
	// By layer: the values of a chunk, the gradient by them (not of the last
	// layer, whose values the loss overwrites), and the layer's scratch.
	values, grads, scratch [][]float32
}

func (n *network) NewWorkspace() *Workspace {
	w := &Workspace{owner: n}
	for i, l := range n.layers {
		w.values = append(w.values, make([]float32, chunkRows*l.Outputs()))
		w.scratch = append(w.scratch, make([]float32, chunkRows*l.Scratch()))
		if i+1 < len(n.layers) {
			w.grads = append(w.grads, make([]float32, chunkRows*l.Outputs()))
		}
	}
	return w
}

// enter makes w's chunk what layer i sees of the rows.
func (w *Workspace) enter(i int) (c *Chunk, rows int) {
	c = &w.chunk
	rows = c.To - c.From
	c.In, c.InGrad = nil, nil
	if i > 0 {
		c.In = w.values[i-1][:rows*w.owner.layers[i-1].Outputs()]
	}
	c.Scratch = w.scratch[i][:rows*w.owner.layers[i].Scratch()]
	return c, rows
}

// forward sets out to the last layer's values of the chunk's rows.
func (n *network) forward(w *Workspace, params, out []float32, seed uint64) {
	last := len(n.layers) - 1
	for i, l := range n.layers {
		c, rows := w.enter(i)
		c.Seed = layerSeed(seed, i)
		if i < last {
			l.Forward(c, n.part(params, i), w.values[i][:rows*l.Outputs()])
			continue
		}
		l.Forward(c, n.part(params, i), out)
	}
}

// backward adds the gradient of the chunk's rows, given that by the last
// layer's values.
func (n *network) backward(w *Workspace, params, outGrad, grad []float32, seed uint64) {
	for i := len(n.layers) - 1; i >= 0; i-- {
		c, rows := w.enter(i)
		c.Seed = layerSeed(seed, i)
		if i > 0 {
			c.InGrad = w.grads[i-1][:rows*n.layers[i-1].Outputs()]
		}
		n.layers[i].Backward(c, n.part(params, i), outGrad, n.part(grad, i))
		outGrad = c.InGrad
	}
}

func (n *network) Gradient(w *Workspace, params []float32, b *kernel.Block, seed uint64, grad []float32) (loss float64) {
	n.check(params, b)
	n.check(grad, nil)
	if len(b.Labels) != b.Rows || b.Rows == 0 || w.owner != n {
		panic("model: a gradient needs labelled rows and a workspace of the model")
	}
	clear(grad)
	weight := 1 / float32(b.Rows)
	outputs := n.Outputs()
	for from := 0; from < b.Rows; from += chunkRows {
		to := min(from+chunkRows, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to, Training: true}
		out := w.values[len(w.values)-1][:(to-from)*outputs]
		n.forward(w, params, out, seed)
		loss += n.loss.Gradient(out, b.Labels[from:to], weight)
		n.backward(w, params, out, grad, seed)
	}
	w.chunk = Chunk{}
	return loss
}

func (n *network) Predict(w *Workspace, params []float32, b *kernel.Block, out []float32) {
	n.check(params, b)
	outputs := n.Outputs()
	if len(out) != b.Rows*outputs || w.owner != n {
		panic("model: a prediction needs room for each row's values and a workspace of the model")
	}
	for from := 0; from < b.Rows; from += chunkRows {
		to := min(from+chunkRows, b.Rows)
		w.chunk = Chunk{Block: b, From: from, To: to}
		values := out[from*outputs : to*outputs]
		n.forward(w, params, values, 0)
		n.loss.Predict(values)
	}
	w.chunk = Chunk{}
}

func (n *network) Rescale(params []float32, s Scale) {
	n.check(params, nil)
	if n.loss.Scale(s.Mean, s.Deviation) != s {
		panic("model: the scale is not one of the loss's")
	}
	if s == (Scale{}) {
		return
	}
	last := len(n.layers) - 1
	n.layers[last].(Rescaler).Rescale(n.part(params, last), s.Mean, s.Deviation)
}

// check panics on a vector or block that is not of this model's shape: that is
// a bug of the caller.
func (n *network) check(v []float32, b *kernel.Block) {
	if len(v) != n.Size() {
		panic(fmt.Sprintf("model: a vector of %d elements for %d parameters", len(v), n.Size()))
	}
	if b != nil {
		if problem := n.shape.Check(b); problem != "" {
			panic("model: " + problem)
		}
	}
}
