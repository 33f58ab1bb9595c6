package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// NormEpsilon is added to a variance, as in PyTorch.
const NormEpsilon = 1e-5

// layerNorm brings the values of each row to mean 0 and deviation 1, and gives each a scale
// and a shift (Ba, Kiros and Hinton 2016).
type layerNorm struct {
	name  string
	width int
}

// NewLayerNorm returns the layer for so many values.
func NewLayerNorm(name string, width int) Layer { return &layerNorm{name, width} }

func (l *layerNorm) Outputs() int  { return l.width }
func (l *layerNorm) Scratch() int  { return l.width + 1 } // normalised values, the inverse deviation
func (l *layerNorm) Views() []View { return affineViews(l.name, l.width) }

// affineViews are those of a scale and a shift for each value.
func affineViews(name string, width int) []View {
	return []View{{Name: name + ".scale", Shape: []int{width}, Bias: true}, {Name: name + ".shift", Shape: []int{width}, Offset: width, Bias: true}}
}

func (l *layerNorm) Init(params []float32, _ uint64) {
	kernel.Fill(params[:l.width], 1)
	clear(params[l.width:])
}

func (l *layerNorm) Forward(c *Chunk, params, out []float32) {
	scale, shift := params[:l.width], params[l.width:]
	inverse := 1 / float32(l.width)
	for i := 0; i < len(out); i += l.width {
		in, row := c.In[i:i+l.width], out[i:i+l.width]
		kept := c.Scratch[i/l.width*l.Scratch():][:l.Scratch()]
		mean := float32(kernel.Sum(in) * inverse)
		for k, v := range in {
			kept[k] = v - mean
		}
		centred := kept[:l.width]
		by := 1 / kernel.Sqrt(float32(kernel.Dot(centred, centred)*inverse)+NormEpsilon)
		kept[l.width] = by
		for k, v := range centred {
			n := float32(v * by)
			centred[k] = n
			row[k] = float32(n*scale[k]) + shift[k]
		}
	}
}

func (l *layerNorm) Backward(c *Chunk, params, outGrad, grad []float32) {
	scale, scaleGrad := params[:l.width], grad[:l.width]
	kernel.AddColumns(grad[l.width:], outGrad)
	inverse := 1 / float32(l.width)
	for i := 0; i < len(outGrad); i += l.width {
		d, to := outGrad[i:i+l.width], c.InGrad[i:i+l.width]
		kept := c.Scratch[i/l.width*l.Scratch():][:l.Scratch()]
		n, by := kept[:l.width], kept[l.width]
		for k, v := range d {
			scaleGrad[k] += float32(v * n[k])
			to[k] = v * scale[k]
		}
		mean, slope := float32(kernel.Sum(to)*inverse), float32(kernel.Dot(to, n)*inverse)
		for k, v := range to {
			to[k] = by * (v - mean - float32(n[k]*slope))
		}
	}
}
