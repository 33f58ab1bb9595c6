package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// Array is how the values of a layer lie that are those of places in rows and columns, each
// with so many channels side by side: an image. A sequence has one column.
type Array struct{ Rows, Columns, Channels int }

// Size is how many values there are.
func (a Array) Size() int { return a.Rows * a.Columns * a.Channels }

// ArrayOf returns how an array of one, two or three dimensions lies: a sequence, an image, an
// image with channels.
func ArrayOf(dimensions []int) Array {
	a := Array{1, 1, 1}
	for i, to := range []*int{&a.Rows, &a.Columns, &a.Channels} {
		if i < len(dimensions) {
			*to = dimensions[i]
		}
	}
	return a
}

// array passes the elements of a list slot on.
type array struct{ slot, width int }

// NewArray returns the first layer of a network that reads a list slot of a shape alone.
func NewArray(shape kernel.Shape, slot int) Layer {
	return &array{slot, kernel.Elements(shape.Lists[slot])}
}

func (l *array) Outputs() int           { return l.width }
func (l *array) Scratch() int           { return 0 }
func (l *array) Views() []View          { return nil }
func (l *array) Init([]float32, uint64) {}

func (l *array) Forward(c *Chunk, _, out []float32) {
	copy(out, c.Block.Lists[l.slot][c.From*l.width:c.To*l.width])
}

func (l *array) Backward(*Chunk, []float32, []float32, []float32) {}
