package model

import (
	_ "embed"
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

//go:embed linear.go
var linearSource string

// Linear is the model of one linear layer: logistic regression with the cross
// entropy, least squares with the squared error.
type Linear struct{}

// New implements Spec.
func (*Linear) New(loss Loss, shape kernel.Shape) (*Model, error) {
	return NewNetwork("linear", shape, loss, newLinearLayer(shape))
}

// Convex tells Resolve of package optim that the loss has one minimum.
func (*Linear) Convex() bool { return true }

// linear is a layer over a block's slots, y = bias + sum of w_k*x_k + sum of
// w_j[id_j] + sum of w_l·x_l, with one output.
//
// Its parameters are the numbers' weights, then one table of weights for each
// category slot, then one array for each list slot, then the bias.
type linear struct {
	shape kernel.Shape
	views []View
	at    []int // by view, its offset; the last is that of the bias
}

func newLinearLayer(shape kernel.Shape) *linear {
	l := &linear{shape: shape}
	next := 0
	add := func(v View) {
		v.Offset = next
		next += v.Size()
		l.views, l.at = append(l.views, v), append(l.at, v.Offset)
	}
	for _, name := range shape.NumberNames {
		add(View{Name: fmt.Sprintf("number.%s.weight", name), Shape: []int{1}})
	}
	for j, n := range shape.Cardinalities {
		add(View{Name: fmt.Sprintf("category.%s.weight", shape.CategoryNames[j]), Shape: []int{n}})
	}
	for i, dimensions := range shape.Lists {
		add(View{Name: fmt.Sprintf("list.%s.weight", shape.ListNames[i]), Shape: dimensions})
	}
	add(View{Name: "bias", Shape: []int{1}, Bias: true})
	return l
}

// table returns the part of v that belongs to category slot j, array that of
// list slot i.
func (l *linear) table(v []float32, j int) []float32 {
	j += l.shape.Numbers
	return v[l.at[j]:l.at[j+1]]
}

func (l *linear) array(v []float32, i int) []float32 { return l.table(v, len(l.shape.Cardinalities)+i) }

func (l *linear) Outputs() int  { return 1 }
func (l *linear) Views() []View { return l.views }
func (l *linear) Scratch() int  { return 0 }

// Init sets every parameter to zero: the problem is convex, and rows with an
// unseen category then start from no opinion.
func (l *linear) Init(params []float32, _ uint64) { clear(params) }

// Rescale multiplies all weights and moves the bias.
func (l *linear) Rescale(params []float32, mean, scale float64) {
	for i, w := range params {
		params[i] = float32(float64(w) * scale)
	}
	bias := &params[len(params)-1]
	*bias = float32(float64(*bias) + mean)
}

func (l *linear) Forward(c *Chunk, params, z []float32) {
	b, from, to, bias := c.Block, c.From, c.To, params[len(params)-1]
	if len(b.Numbers) == 0 {
		kernel.Fill(z, bias)
	}
	for k, column := range b.Numbers {
		if k == 0 {
			kernel.Affine(z, column[from:to], params[k], bias)
			continue
		}
		kernel.AddScaled(z, column[from:to], params[k])
	}
	j := 0
	for ; j+2 <= len(b.Categories); j += 2 {
		kernel.Gather2(z, l.table(params, j), b.Categories[j][from:to], l.table(params, j+1), b.Categories[j+1][from:to])
	}
	if j < len(b.Categories) {
		kernel.Gather(z, l.table(params, j), b.Categories[j][from:to])
	}
	for i, column := range b.Lists {
		w := l.array(params, i)
		for r := range z {
			z[r] += kernel.Dot(w, column[(from+r)*len(w):(from+r+1)*len(w)])
		}
	}
}

func (l *linear) Backward(c *Chunk, _, d, grad []float32) {
	b, from, to := c.Block, c.From, c.To
	grad[len(grad)-1] += kernel.Sum(d)
	for k, column := range b.Numbers {
		grad[k] += kernel.Dot(d, column[from:to])
	}
	j := 0
	for ; j+2 <= len(b.Categories); j += 2 {
		kernel.Scatter2(l.table(grad, j), b.Categories[j][from:to], l.table(grad, j+1), b.Categories[j+1][from:to], d)
	}
	if j < len(b.Categories) {
		kernel.Scatter(l.table(grad, j), b.Categories[j][from:to], d)
	}
	for i, column := range b.Lists {
		g := l.array(grad, i)
		for r, x := range d {
			kernel.AddScaled(g, column[(from+r)*len(g):(from+r+1)*len(g)], x)
		}
	}
}
