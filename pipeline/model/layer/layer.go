// Package layer holds the differentiable functions that models are made of: a Layer reads
// the values of the one before it, the first one reads rows.
package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// View names a part of a vector of parameters.
type View struct {
	// Name is unique within a model and stable: "category.origin.weight", "bias".
	Name string
	// Shape is the view's dimensions, row-major.
	Shape []int
	// Offset is the position of the view's first element in the vector.
	Offset int
	// Bias: the view is not a weight, and regularization leaves it alone.
	Bias bool
	// Tracked: it is a statistic of rows, which no gradient moves.
	Tracked bool
}

// Size returns the count of the view's elements.
func (v View) Size() int { return kernel.Elements(v.Shape) }

// Of returns the view's part of params.
func (v View) Of(params []float32) []float32 {
	return params[v.Offset : v.Offset+v.Size() : v.Offset+v.Size()]
}

// Layer is one differentiable function of rows, with parameters. It is
// immutable, keeps no memory of its own, and may be used concurrently: what it
// needs between Forward and Backward is in the Chunk. Its arithmetic on a row
// must not depend on the other rows of the chunk.
//
// Values are row-major: output o of row i is at [i*Outputs()+o].
type Layer interface {
	// Outputs is how many values the layer gives for each row, at least 1.
	Outputs() int
	// Views names the layer's parameters: ascending, disjoint, without gaps, the
	// first at offset 0. A layer without parameters returns none.
	Views() []View
	// Scratch is how many float32s the layer wants for each row, to keep from
	// Forward to Backward.
	Scratch() int
	// Init sets the parameters from which training starts. The same seed gives
	// the same bits on every machine.
	Init(params []float32, seed uint64)
	// Forward sets out to the layer's values.
	Forward(c *Chunk, params, out []float32)
	// Backward is given the gradient of the loss by the layer's values, after a
	// Forward of the same chunk. It adds the gradient by the parameters to grad,
	// and sets c.InGrad, where that is not nil.
	Backward(c *Chunk, params, outGrad, grad []float32)
}

// Rescaler is a Layer whose values are affine in its parameters: Rescale changes
// them so that the value v of an output becomes v*scale and the output's offset.
type Rescaler interface {
	Rescale(params []float32, offsets []float64, scale float64)
}

// InPlace is a Layer whose Forward may have its values where those before them are, and whose
// Backward may have c.InGrad where outGrad is: c.In then is what Forward left.
type InPlace interface{ InPlace() bool }

// Sampler is a Layer that may draw when predictions are sampled, and reports whether it does.
type Sampler interface{ Samples() bool }

// Chunk is the rows that a layer works on, and its memory for them.
type Chunk struct {
	// Block and [From, To) are the rows of the input; the first layer reads them.
	Block    *kernel.Block
	From, To int
	// In is the values of the layer before; nil in the first layer.
	In []float32
	// InGrad is where Backward puts the gradient by In; nil in the first layer,
	// and in Forward.
	InGrad []float32
	// Scratch is Layer.Scratch float32s a row. Forward finds anything in it,
	// Backward what Forward left.
	Scratch []float32
	// Keep is where the layer may keep something from call to call of the same
	// workspace.
	Keep *any
	// Training tells a step of training from a prediction.
	Training bool
	// Sampled is a prediction for which layers draw, the same for every row, from Seed alone.
	Sampled bool
	// Seed is what a layer that draws at random (dropout) draws from while
	// training, together with the row's index in the block. It differs from step to
	// step and from layer to layer.
	Seed uint64
}
