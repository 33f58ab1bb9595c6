package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// dropout passes each value on with a probability, and more of it by so much, while
// training (Srivastava et al. 2014); a prediction has all values. What is dropped follows from the
// step's seed and where a row is in its batch.
type dropout struct {
	width int
	keep  uint32 // of 2^16
}

// NewDropout returns the layer that drops a share of so many values.
func NewDropout(width int, share float64) Layer {
	return &dropout{width, max(1, uint32(float64((1-share)*(1<<16))+0.5))}
}

func (l *dropout) Outputs() int           { return l.width }
func (l *dropout) Scratch() int           { return l.width } // the factors
func (l *dropout) Views() []View          { return nil }
func (l *dropout) Init([]float32, uint64) {}

// InPlace implements the interface of this name.
func (l *dropout) InPlace() bool { return true }

// Samples implements Sampler.
func (l *dropout) Samples() bool { return true }

func (l *dropout) Forward(c *Chunk, _, out []float32) {
	if c.Sampled {
		factors := c.Scratch[:l.width]
		kernel.Drop(factors, c.Seed, 0, l.keep, float32(1<<16)/float32(l.keep))
		for i := 0; i < len(out); i += l.width {
			kernel.Multiply(out[i:i+l.width], c.In[i:i+l.width], factors)
		}
		return
	}
	if !c.Training {
		copy(out, c.In)
		return
	}
	each := uint64(l.width+3) &^ 3
	run := l.width
	if uint64(run) == each {
		run = len(out) // one row's draws begin where those before end
	}
	for i := 0; i < len(out); i += run {
		row := uint64(c.From + i/l.width)
		kernel.Drop(c.Scratch[i:i+run], c.Seed, row*each, l.keep, float32(1<<16)/float32(l.keep))
	}
	kernel.Multiply(out, c.In, c.Scratch)
}

func (l *dropout) Backward(c *Chunk, _, outGrad, _ []float32) {
	if !c.Training {
		copy(c.InGrad, outGrad)
		return
	}
	kernel.Multiply(c.InGrad, outGrad, c.Scratch)
}
