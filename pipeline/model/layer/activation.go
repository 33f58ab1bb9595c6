package layer

// Activation is a function of each value.
type Activation struct {
	// Name is what a spec calls it.
	Name string
	// Gain is by how much weights before it begin larger than the inverse of the root of
	// their number, squared, so that values neither grow nor vanish from layer to layer.
	Gain float64
	// keeps is whether it keeps values for the slope.
	keeps bool
	// inPlace is whether apply may have out where in is, and slope then is given out for in.
	inPlace bool
	// apply sets out to the function of in; slope sets dst, which may be d, to d times its slope.
	// kept is from the one to the other.
	apply func(out, in, kept []float32)
	slope func(dst, d, in, kept []float32)
}

// Activations lists the activations. To add one, write its file and its line.
func Activations() []Activation { return []Activation{relu(), gelu(), tanh(), sigmoid()} }

// FindActivation returns the activation of a name.
func FindActivation(name string) (Activation, bool) {
	for _, a := range Activations() {
		if a.Name == name {
			return a, true
		}
	}
	return Activation{}, false
}

// activation is the layer.
type activation struct {
	Activation
	width int
}

// NewActivation returns the layer that applies a function to so many values.
func NewActivation(f Activation, width int) Layer { return &activation{f, width} }

func (l *activation) Outputs() int           { return l.width }
func (l *activation) Views() []View          { return nil }
func (l *activation) Init([]float32, uint64) {}

func (l *activation) Scratch() int {
	if l.keeps {
		return l.width
	}
	return 0
}

// InPlace implements the interface of this name.
func (l *activation) InPlace() bool { return l.inPlace }

func (l *activation) Forward(c *Chunk, _, out []float32) { l.apply(out, c.In, c.Scratch) }

func (l *activation) Backward(c *Chunk, _, outGrad, _ []float32) {
	l.slope(c.InGrad, outGrad, c.In, c.Scratch)
}
