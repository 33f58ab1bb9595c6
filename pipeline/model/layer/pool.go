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

// each calls f for the places of each window: where its values are, one a channel, which place
// of the window it is, and where its values lie.
func (l *pool) each(rows int, f func(out, place, in int)) {
	channels := l.out.Channels
	out := 0
	for row := range rows {
		for y := range l.out.Rows {
			for x := range l.out.Columns {
				for place := range l.high * l.wide {
					f(out, place, row*l.in.Size()+((y*l.high+place/l.wide)*l.in.Columns+x*l.wide+place%l.wide)*channels)
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
		l.each(c.To-c.From, func(at, _, in int) {
			to := out[at:][:l.out.Channels]
			for k, v := range c.In[in:][:len(to)] {
				to[k] += float32(v * share)
			}
		})
		return
	}
	l.each(c.To-c.From, func(at, place, in int) {
		to, of := out[at:][:l.out.Channels], c.Scratch[at:][:l.out.Channels]
		for k, v := range c.In[in:][:len(to)] {
			if place == 0 || v > to[k] {
				to[k], of[k] = v, float32(place)
			}
		}
	})
}

func (l *pool) Backward(c *Chunk, _, outGrad, _ []float32) {
	clear(c.InGrad)
	share := 1 / float32(l.high*l.wide)
	l.each(c.To-c.From, func(at, place, in int) {
		to := c.InGrad[in:][:l.out.Channels]
		for k, d := range outGrad[at:][:len(to)] {
			if l.mean {
				to[k] = float32(d * share)
			} else if c.Scratch[at+k] == float32(place) {
				to[k] = d
			}
		}
	})
}
