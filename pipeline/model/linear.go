package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// linearChunk is how many rows go through all loops of a linear model at a
// time: their sums stay in the first-level cache, and on the stack.
const linearChunk = 512

// linear is y = f(bias + sum of w_k*x_k + sum of w_j[id_j]): logistic
// regression (f the sigmoid) for a Binary label, least squares (f the identity)
// for a Number.
//
// The vector holds the numbers' weights, then one table of weights for each
// category slot, then the bias.
type linear struct {
	shape  kernel.Shape
	label  Label
	views  []View
	tables []int // offset of category slot j's table; the last is the bias'
}

func newLinear(_ pipeline.ModelSpec, label Label, shape kernel.Shape) Model {
	m := &linear{shape: shape, label: label, tables: make([]int, 0, len(shape.Cardinalities)+1)}
	for k, name := range shape.NumberNames {
		m.views = append(m.views, View{Name: fmt.Sprintf("number.%s.weight", name), Shape: []int{1}, Offset: k})
	}
	offset := shape.Numbers
	for j, n := range shape.Cardinalities {
		m.views = append(m.views, View{Name: fmt.Sprintf("category.%s.weight", shape.CategoryNames[j]), Shape: []int{n}, Offset: offset})
		m.tables = append(m.tables, offset)
		offset += n
	}
	m.views = append(m.views, View{Name: "bias", Shape: []int{1}, Offset: offset, Bias: true})
	m.tables = append(m.tables, offset)
	return m
}

func (m *linear) Type() string        { return "linear" }
func (m *linear) Label() Label        { return m.label }
func (m *linear) Shape() kernel.Shape { return m.shape }
func (m *linear) Size() int           { return m.bias() + 1 }
func (m *linear) Views() []View       { return m.views }

// bias returns the offset of the bias.
func (m *linear) bias() int { return m.tables[len(m.tables)-1] }

// table returns category slot j's part of v.
func (m *linear) table(v []float32, j int) []float32 { return v[m.tables[j]:m.tables[j+1]] }

// Init sets every parameter to zero: the problem is convex, and rows with an
// unseen category then start from no opinion.
func (m *linear) Init(params []float32, _ uint64) {
	m.check(params, nil)
	clear(params)
}

func (m *linear) Gradient(params []float32, b *kernel.Block, grad []float32) (loss float64) {
	m.check(params, b)
	m.check(grad, nil)
	if len(b.Labels) != b.Rows || b.Rows == 0 {
		panic("model: a gradient needs labelled rows")
	}
	clear(grad)
	scale := 1 / float32(b.Rows)
	var buffer [linearChunk]float32
	for from := 0; from < b.Rows; from += linearChunk {
		to := min(from+linearChunk, b.Rows)
		z := buffer[:to-from]
		m.forward(params, b, from, to, z)
		if m.label == Binary {
			loss += kernel.LogisticResidual(z, z, b.Labels[from:to], scale)
		} else {
			loss += kernel.SquaredResidual(z, z, b.Labels[from:to], scale)
		}
		m.backward(grad, b, from, to, z)
	}
	return loss
}

func (m *linear) Predict(params []float32, b *kernel.Block, out []float32) {
	m.check(params, b)
	if len(out) != b.Rows {
		panic("model: not one prediction per row")
	}
	for from := 0; from < b.Rows; from += linearChunk {
		to := min(from+linearChunk, b.Rows)
		z := out[from:to]
		m.forward(params, b, from, to, z)
		if m.label == Binary {
			kernel.Sigmoid(z, z)
		}
	}
}

// Rescale uses that the output is affine in the parameters.
func (m *linear) Rescale(params []float32, mean, scale float64) {
	m.check(params, nil)
	if m.label != Number {
		panic("model: only a number has a scale")
	}
	for i, w := range params {
		params[i] = float32(float64(w) * scale)
	}
	bias := &params[m.bias()]
	*bias = float32(float64(*bias) + mean)
}

// forward sets z to the sums of rows [from, to).
func (m *linear) forward(params []float32, b *kernel.Block, from, to int, z []float32) {
	if len(b.Numbers) == 0 {
		kernel.Fill(z, params[m.bias()])
	}
	for k, column := range b.Numbers {
		if k == 0 {
			kernel.Affine(z, column[from:to], params[k], params[m.bias()])
			continue
		}
		kernel.AddScaled(z, column[from:to], params[k])
	}
	j := 0
	for ; j+2 <= len(b.Categories); j += 2 {
		kernel.Gather2(z, m.table(params, j), b.Categories[j][from:to], m.table(params, j+1), b.Categories[j+1][from:to])
	}
	if j < len(b.Categories) {
		kernel.Gather(z, m.table(params, j), b.Categories[j][from:to])
	}
}

// backward adds the gradient of rows [from, to), whose residuals are d.
func (m *linear) backward(grad []float32, b *kernel.Block, from, to int, d []float32) {
	grad[m.bias()] += kernel.Sum(d)
	for k, column := range b.Numbers {
		grad[k] += kernel.Dot(d, column[from:to])
	}
	j := 0
	for ; j+2 <= len(b.Categories); j += 2 {
		kernel.Scatter2(m.table(grad, j), b.Categories[j][from:to], m.table(grad, j+1), b.Categories[j+1][from:to], d)
	}
	if j < len(b.Categories) {
		kernel.Scatter(m.table(grad, j), b.Categories[j][from:to], d)
	}
}

// check panics on a vector or block that is not of this model's shape: that is
// a bug of the caller.
func (m *linear) check(v []float32, b *kernel.Block) {
	if len(v) != m.Size() {
		panic(fmt.Sprintf("model: a vector of %d elements for %d parameters", len(v), m.Size()))
	}
	if b != nil {
		if problem := m.shape.Check(b); problem != "" {
			panic("model: " + problem)
		}
	}
}
