package layer

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// dense has outputs that are affine in the values before it: y = bias + x·W.
type dense struct {
	name            string
	inputs, outputs int
	gain            float64
}

// NewDense returns a layer of so many outputs, each a bias and a weighted sum of the inputs.
// Weights begin so that outputs have gain times the variance of the inputs.
func NewDense(name string, inputs, outputs int, gain float64) Layer {
	return &dense{name, inputs, outputs, gain}
}

func (l *dense) Outputs() int { return l.outputs }
func (l *dense) Scratch() int { return 0 }

func (l *dense) Views() []View {
	return []View{{Name: l.name + ".weight", Shape: []int{l.inputs, l.outputs}},
		{Name: l.name + ".bias", Shape: []int{l.outputs}, Offset: l.inputs * l.outputs, Bias: true}}
}

func (l *dense) Init(params []float32, seed uint64) {
	weights, biases := l.split(params)
	spread(weights, seed, math.Sqrt(l.gain/float64(l.inputs)))
	clear(biases)
}

func (l *dense) split(v []float32) (weights, biases []float32) {
	return v[:l.inputs*l.outputs], v[l.inputs*l.outputs:]
}

func (l *dense) Forward(c *Chunk, params, out []float32) {
	weights, biases := l.split(params)
	kernel.GemmFrom(out, l.outputs, biases, kernel.Strided{Values: c.In, Row: l.inputs, Column: 1}, weights, l.outputs, c.To-c.From, l.outputs, l.inputs)
}

func (l *dense) Backward(c *Chunk, params, outGrad, grad []float32) {
	rows := c.To - c.From
	weights, biases := l.split(grad)
	kernel.AddColumns(biases, outGrad)
	kernel.Gemm(weights, l.outputs, kernel.Strided{Values: c.In, Row: 1, Column: l.inputs}, outGrad, l.outputs, l.inputs, l.outputs, rows)
	if c.InGrad == nil {
		return
	}
	transposed := kept(c.Keep, l.outputs*l.inputs)
	kernel.Transpose(transposed, l.inputs, params, l.outputs, l.inputs, l.outputs)
	kernel.GemmFrom(c.InGrad, l.inputs, nil, kernel.Strided{Values: outGrad, Row: l.outputs, Column: 1}, transposed, l.inputs, rows, l.inputs, l.outputs)
}

// Rescale implements Rescaler.
func (l *dense) Rescale(params []float32, offsets []float64, scale float64) {
	for i, w := range params {
		params[i] = float32(float64(w) * scale)
	}
	_, biases := l.split(params)
	for k, b := range biases {
		biases[k] = float32(float64(b) + offsets[k])
	}
}

// kept returns n float32s that stay from call to call.
func kept(keep *any, n int) []float32 {
	v, _ := (*keep).([]float32)
	if len(v) != n {
		v = make([]float32, n)
		*keep = v
	}
	return v
}

// spread draws values evenly around zero, of a standard deviation.
func spread(values []float32, seed uint64, deviation float64) {
	width := float64(2 * math.Sqrt(3) * deviation)
	for i := range values {
		u := float64(float64(kernel.Mix(seed+uint64(i+1)*kernel.Golden)>>11) / (1 << 53))
		values[i] = float32((u - 0.5) * width)
	}
}
