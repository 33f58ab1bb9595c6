package layer

import (
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// factors is a layer over a block's slots in which each two of the things that a row has say
// something together: for each output
//
//	y = bias + sum of w_i*x_i + sum over i < j of (v_i·v_j)*x_i*x_j
//
// where i is a number, an element of a list, the id of a category (of x 1) or a term, w_i its
// weight, and v_i its factors, a few. In Rendle's form ("Factorization Machines", 2010, lemma
// 3.1) the last sum is
//
//	sum over f of ((sum of v_if*x_i)^2 - sum of (v_if*x_i)^2) / 2
//
// so that a row takes time in proportion to the things that it has.
//
// Its parameters are the weights, then the biases, then the factors; those of one thing and
// output lie side by side.
type factors struct {
	shape          kernel.Shape
	outputs, count int
	weights        *input
	of             *input // factors: outputs times count of them
	bias, from     int    // where biases and factors begin
	views          []View
}

// factorDeviation is that of factors at first: were they zero, they had no gradient.
const factorDeviation = 0.05

// NewFactors returns the layer for blocks of a shape, of so many outputs, for each of which a
// thing has so many factors.
func NewFactors(shape kernel.Shape, outputs, count int) Layer {
	shape.Embeddings = nil
	l := &factors{shape: shape, outputs: outputs, count: count, weights: newInput(shape, "weight", outputs, 0), of: newInput(shape, "factors", outputs*count, 0)}
	l.bias = l.weights.all
	l.from = l.bias + outputs
	l.views = append(slices.Clone(l.weights.views), View{Name: "bias", Shape: []int{outputs}, Offset: l.bias, Bias: true})
	for _, v := range l.of.views {
		v.Offset += l.from
		l.views = append(l.views, v)
	}
	return l
}

func (l *factors) Outputs() int  { return l.outputs }
func (l *factors) Views() []View { return l.views }

// Scratch has the numbers, which the inputs keep there, then the sums of factors, then the
// gradient by these.
func (l *factors) Scratch() int { return l.shape.Numbers + 2*l.outputs*l.count }

func (l *factors) Init(params []float32, seed uint64) {
	clear(params[:l.from])
	spread(params[l.from:], seed, factorDeviation)
}

// Rescale implements Rescaler: what two things say together grows with both their factors.
func (l *factors) Rescale(params []float32, offsets []float64, scale float64) {
	for i, w := range params[:l.from] {
		params[i] = float32(float64(w) * scale)
	}
	root := math.Sqrt(scale)
	for i, v := range params[l.from:] {
		params[l.from+i] = float32(float64(v) * root)
	}
	for k, offset := range offsets {
		params[l.bias+k] = float32(float64(params[l.bias+k]) + offset)
	}
}

// sums returns the part of the scratch that keeps the sums of factors, and that for their
// gradient.
func (l *factors) sums(c *Chunk) (sums, grads []float32) {
	rows := c.To - c.From
	kept := c.Scratch[rows*l.shape.Numbers:]
	n := rows * l.outputs * l.count
	return kept[:n], kept[n : 2*n]
}

func (l *factors) Forward(c *Chunk, params, out []float32) {
	l.weights.forward(c, params[:l.bias], params[l.bias:l.from], out)
	sums, _ := l.sums(c)
	own := params[l.from:]
	l.of.forward(c, own, nil, sums)
	for i := range out {
		s := sums[i*l.count:][:l.count]
		out[i] += float32(squares(s) / 2)
	}
	l.eachThing(c, func(row, at int, x float32) {
		x = float32(x*x) / 2
		for o := range l.outputs {
			out[row*l.outputs+o] -= float32(x * squares(own[at+o*l.count:][:l.count]))
		}
	})
}

func (l *factors) Backward(c *Chunk, params, outGrad, grad []float32) {
	kernel.AddColumns(grad[l.bias:l.from], outGrad)
	l.weights.descend(c, params[:l.bias], outGrad, grad[:l.bias])
	sums, grads := l.sums(c)
	for i, d := range outGrad {
		to := grads[i*l.count:][:l.count]
		for f, s := range sums[i*l.count:][:l.count] {
			to[f] = float32(d * s)
		}
	}
	own, ownGrad := params[l.from:], grad[l.from:]
	l.of.descend(c, own, grads, ownGrad)
	l.eachThing(c, func(row, at int, x float32) {
		x = float32(x * x)
		for o := range l.outputs {
			d := float32(x * outGrad[row*l.outputs+o])
			to := ownGrad[at+o*l.count:][:l.count]
			for f, v := range own[at+o*l.count:][:l.count] {
				to[f] -= float32(d * v)
			}
		}
	})
}

// eachThing calls f for all that the chunk's rows have: the row's number in the chunk, where
// the factors begin, and x.
func (l *factors) eachThing(c *Chunk, f func(row, at int, x float32)) {
	b, width := c.Block, l.outputs*l.count
	for k, column := range b.Numbers {
		for row, x := range column[c.From:c.To] {
			f(row, k*width, x)
		}
	}
	for i, from := range l.of.lists {
		elements, n := l.of.list(c, i)
		for at, x := range elements.Values {
			f(at/n, from+at%n*width, x)
		}
	}
	for j := range l.shape.Cardinalities {
		t := l.of.tables[j]
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			eachID(bytes[c.From:c.To], t.from, width, f)
		case shorts != nil:
			eachID(shorts[c.From:c.To], t.from, width, f)
		default:
			eachID(words[c.From:c.To], t.from, width, f)
		}
	}
	for i, column := range b.Terms {
		t := l.of.tables[len(l.shape.Cardinalities)+i]
		for row, terms := range column[c.From:c.To] {
			for _, term := range terms {
				f(row, t.from+int(term.ID)*width, term.Weight)
			}
		}
	}
}

// eachID calls f for the ids of a category.
func eachID[I kernel.ID](ids []I, from, width int, f func(row, at int, x float32)) {
	for row, id := range ids {
		f(row, from+int(id)*width, 1)
	}
}

// squares is the sum of the squares of a few values, in order.
func squares(values []float32) (sum float32) {
	for _, v := range values {
		sum += float32(v * v)
	}
	return sum
}
