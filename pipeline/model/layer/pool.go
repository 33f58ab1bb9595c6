package layer

// pool gives one value for each window of so many places a side, by channel: the largest, or
// the mean. Windows lie side by side; places that fill none are left out.
type pool struct {
	in, out    Array
	high, wide int
	mean       bool
}

// NewPool returns the layer. In a direction in which the array has one place, windows have one.
func NewPool(in Array, size int, mean bool) (Layer, Array) {
	l := &pool{in: in, mean: mean}
	l.high, _, l.out.Rows = windows(in.Rows, size, size, false)
	l.wide, _, l.out.Columns = windows(in.Columns, size, size, false)
	l.out.Channels = in.Channels
	return l, l.out
}

func (l *pool) Outputs() int           { return l.out.Size() }
func (l *pool) Views() []View          { return nil }
func (l *pool) Init([]float32, uint64) {}

// Scratch is which place of its window each value is of, the first of those that are as large.
func (l *pool) Scratch() int {
	if l.mean {
		return 0
	}
	return l.out.Size()
}

// each calls f for the places of each value's window: where the value is, which place of the
// window it is, and where that lies.
func (l *pool) each(rows int, f func(out, place, in int)) {
	channels := l.out.Channels
	out := 0
	for row := range rows {
		for y := range l.out.Rows {
			for x := range l.out.Columns {
				for place := range l.high * l.wide {
					at := row*l.in.Size() + ((y*l.high+place/l.wide)*l.in.Columns+x*l.wide+place%l.wide)*channels
					for k := range channels {
						f(out+k, place, at+k)
					}
				}
				out += channels
			}
		}
	}
}

func (l *pool) Forward(c *Chunk, _, out []float32) {
	if l.mean {
		clear(out)
		share := 1 / float32(l.high*l.wide)
		l.each(c.To-c.From, func(at, _, in int) { out[at] += float32(c.In[in] * share) })
		return
	}
	l.each(c.To-c.From, func(at, place, in int) {
		if v := c.In[in]; place == 0 || v > out[at] {
			out[at], c.Scratch[at] = v, float32(place)
		}
	})
}

func (l *pool) Backward(c *Chunk, _, outGrad, _ []float32) {
	clear(c.InGrad)
	share := 1 / float32(l.high*l.wide)
	l.each(c.To-c.From, func(at, place, in int) {
		if l.mean {
			c.InGrad[in] = float32(outGrad[at] * share)
		} else if c.Scratch[at] == float32(place) {
			c.InGrad[in] = outGrad[at]
		}
	})
}
