package layer

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// convolution gives each place of an array so many channels, each a bias and a weighted sum of
// the channels of the places around it (LeCun et al. 1998). The values around a place are
// copied side by side (im2col), so that sums are products of matrices.
type convolution struct {
	name         string
	in, out      Array
	high, wide   int // of the window
	stride       int
	above, left  int // how far it begins before the array
	gain         float64
	patch, tiles int // the values of a window, and how many windows are copied at a time
}

// tileFloats is how many copied values are worked on at a time: they stay in the second-level
// cache.
const tileFloats = 1 << 15

// NewConvolution returns the layer with windows of so many places a side, one in a direction
// in which the array has one, every stride places. Padded, the array has as many zeros around
// it as let each place be the middle of a window.
func NewConvolution(name string, in Array, channels, size, stride int, padded bool, gain float64) (Layer, Array) {
	l := &convolution{name: name, in: in, stride: stride, gain: gain}
	l.high, l.above, l.out.Rows = windows(in.Rows, size, stride, padded)
	l.wide, l.left, l.out.Columns = windows(in.Columns, size, stride, padded)
	l.out.Channels = channels
	l.patch = l.high * l.wide * in.Channels
	l.tiles = max(1, tileFloats/l.patch)
	return l, l.out
}

// windows returns how long a window is in a direction, how far the first one begins before
// the array, and how many there are.
func windows(places, size, stride int, padded bool) (length, before, count int) {
	length = size
	if places == 1 {
		length = 1
	}
	room := places
	if padded {
		before = (length - 1) / 2
		room += length - 1
	}
	return length, before, max(0, (room-length)/stride+1)
}

func (l *convolution) Outputs() int { return l.out.Size() }
func (l *convolution) Scratch() int { return 0 }

func (l *convolution) Views() []View {
	return []View{{Name: l.name + ".weight", Shape: []int{l.high, l.wide, l.in.Channels, l.out.Channels}},
		{Name: l.name + ".bias", Shape: []int{l.out.Channels}, Offset: l.patch * l.out.Channels, Bias: true}}
}

func (l *convolution) Init(params []float32, seed uint64) {
	weights, biases := l.split(params)
	spread(weights, seed, math.Sqrt(l.gain/float64(l.patch)))
	clear(biases)
}

func (l *convolution) split(v []float32) (weights, biases []float32) {
	return v[:l.patch*l.out.Channels], v[l.patch*l.out.Channels:]
}

// convolutionMemory is the windows of a tile, their gradient, and the weights transposed.
type convolutionMemory struct{ patches, grads, transposed []float32 }

func (l *convolution) memory(keep *any) *convolutionMemory {
	m, _ := (*keep).(*convolutionMemory)
	if m == nil {
		m = &convolutionMemory{patches: make([]float32, l.tiles*l.patch)}
		*keep = m
	}
	return m
}

// each calls f for the tiles of each row of the chunk: the values of that row, and of which
// windows, in order of rows and columns, from one on.
func (l *convolution) each(rows int, f func(row, from, count int)) {
	all := l.out.Rows * l.out.Columns
	for row := range rows {
		for from := 0; from < all; from += l.tiles {
			f(row, from, min(l.tiles, all-from))
		}
	}
}

// copies calls move for the runs of values that windows have of a row of the array, with where
// they are in the windows and in the array; and zero for those that lie beyond it.
func (l *convolution) copies(from, count int, move func(at, source, n int), zero func(at, n int)) {
	run := l.wide * l.in.Channels
	for k := range count {
		top := (from+k)/l.out.Columns*l.stride - l.above
		left := (from+k)%l.out.Columns*l.stride - l.left
		first, last := max(0, -left), min(l.wide, l.in.Columns-left) // columns of the window within the array
		for h := range l.high {
			at := k*l.patch + h*run
			if y := top + h; y < 0 || y >= l.in.Rows || first >= last {
				zero(at, run)
			} else {
				zero(at, first*l.in.Channels)
				move(at+first*l.in.Channels, (y*l.in.Columns+left+first)*l.in.Channels, (last-first)*l.in.Channels)
				zero(at+last*l.in.Channels, (l.wide-last)*l.in.Channels)
			}
		}
	}
}

// gather copies windows of a row's values.
func (l *convolution) gather(patches, in []float32, from, count int) {
	l.copies(from, count, func(at, source, n int) { copy(patches[at:at+n], in[source:]) }, func(at, n int) { clear(patches[at : at+n]) })
}

func (l *convolution) Forward(c *Chunk, params, out []float32) {
	weights, biases := l.split(params)
	m, channels := l.memory(c.Keep), l.out.Channels
	l.each(c.To-c.From, func(row, from, count int) {
		l.gather(m.patches, c.In[row*l.in.Size():][:l.in.Size()], from, count)
		kernel.GemmFrom(out[row*l.out.Size()+from*channels:], channels, biases, kernel.Strided{Values: m.patches, Row: l.patch, Column: 1}, weights, channels, count, channels, l.patch)
	})
}

func (l *convolution) Backward(c *Chunk, params, outGrad, grad []float32) {
	weights, _ := l.split(params)
	weightsGrad, biases := l.split(grad)
	kernel.AddColumns(biases, outGrad)
	m, channels := l.memory(c.Keep), l.out.Channels
	if m.grads == nil {
		m.grads, m.transposed = make([]float32, l.tiles*l.patch), make([]float32, len(weights))
	}
	if c.InGrad != nil {
		kernel.Transpose(m.transposed, l.patch, weights, channels, l.patch, channels)
		clear(c.InGrad)
	}
	l.each(c.To-c.From, func(row, from, count int) {
		l.gather(m.patches, c.In[row*l.in.Size():][:l.in.Size()], from, count)
		d := outGrad[row*l.out.Size()+from*channels:]
		kernel.Gemm(weightsGrad, channels, kernel.Strided{Values: m.patches, Row: 1, Column: l.patch}, d, channels, l.patch, channels, count)
		if c.InGrad == nil {
			return
		}
		kernel.GemmFrom(m.grads, l.patch, nil, kernel.Strided{Values: d, Row: channels, Column: 1}, m.transposed, l.patch, count, l.patch, channels)
		to := c.InGrad[row*l.in.Size():][:l.in.Size()]
		l.copies(from, count, func(at, source, n int) { kernel.AddScaled(to[source:source+n], m.grads[at:at+n], 1) }, func(int, int) {})
	})
}
