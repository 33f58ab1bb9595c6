package model

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Linear is the model of one linear layer: logistic regression with the cross
// entropy, of several classes too, least squares with the squared error, a linear
// support vector machine with the hinge loss.
type Linear struct {
	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// New implements Spec.
func (*Linear) New(loss Loss, shape kernel.Shape) (*Model, error) {
	return NewNetwork("linear", shape, loss, newLinearLayer(shape, loss.Outputs()))
}

// Explains implements pipeline.Explained.
func (*Linear) Explains() {}

// StartsWarm implements pipeline.WarmStarter.
func (*Linear) StartsWarm() bool { return true }

// Convex tells Resolve of package optim that the loss has one minimum.
func (*Linear) Convex() bool { return true }

// linear is a layer over a block's slots, y = bias + sum of w_k*x_k + sum of
// w_j[id_j] + sum of w_t[id]*x over the row's terms + sum of w_l·x_l, for each of its
// outputs.
//
// Its parameters are the numbers' weights, then one table of weights for each
// category slot, one for each term slot, then one array for each list slot, then the bias. Of several
// outputs the weights of one number, id or element lie side by side.
type linear struct {
	shape   kernel.Shape
	views   []View
	at      []int // by view, its offset; the last is that of the bias
	outputs int
}

func newLinearLayer(shape kernel.Shape, outputs int) *linear {
	l := &linear{shape: shape, outputs: outputs}
	next := 0
	add := func(v View) {
		if outputs > 1 && len(v.Shape) == 1 && v.Shape[0] == 1 {
			v.Shape = []int{outputs}
		} else if outputs > 1 {
			v.Shape = append(slices.Clone(v.Shape), outputs)
		}
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
	for t, n := range shape.Terms {
		add(View{Name: fmt.Sprintf("terms.%s.weight", shape.TermNames[t]), Shape: []int{n}})
	}
	for i, dimensions := range shape.Lists {
		add(View{Name: fmt.Sprintf("list.%s.weight", shape.ListNames[i]), Shape: dimensions})
	}
	add(View{Name: "bias", Shape: []int{1}, Bias: true})
	return l
}

// table returns the part of v that belongs to category slot j, terms that of term slot i
// and array that of list slot i.
func (l *linear) table(v []float32, j int) []float32 {
	j += l.shape.Numbers
	return v[l.at[j]:l.at[j+1]]
}

func (l *linear) terms(v []float32, i int) []float32 { return l.table(v, len(l.shape.Cardinalities)+i) }
func (l *linear) array(v []float32, i int) []float32 { return l.terms(v, len(l.shape.Terms)+i) }

// Tables returns where the weights of each category and term slot begin in the vector, of a model
// that has a weight for every id and output, those of an id side by side, and behind
// them where the last ones end; nil of another model.
func (m *Model) Tables() []int {
	l, ok := m.layers[0].(*linear)
	if !ok || len(m.layers) > 1 {
		return nil
	}
	return l.at[l.shape.Numbers : l.shape.Numbers+len(l.shape.Cardinalities)+len(l.shape.Terms)+1]
}

// Narrow returns a model like m, which has Tables, but of so many ids of each category
// slot. It takes m's workspaces.
func (m *Model) Narrow(ids []int) *Model {
	narrow, l := *m, *m.layers[0].(*linear)
	l.at = slices.Clone(l.at)
	less := 0
	for i := l.shape.Numbers + 1; i < len(l.at); i++ {
		if j := i - l.shape.Numbers - 1; j < len(ids) {
			less += (l.shape.Cardinalities[j] - ids[j]) * l.outputs
		}
		l.at[i] -= less
	}
	l.shape.Cardinalities = ids
	narrow.of, narrow.shape, narrow.layers, narrow.ends, narrow.views = m, l.shape, []Layer{&l}, []int{m.Size() - less}, nil
	return &narrow
}

func (l *linear) Outputs() int  { return l.outputs }
func (l *linear) Views() []View { return l.views }
func (l *linear) Scratch() int  { return 0 }

// Init sets every parameter to zero: the problem is convex, and rows with an
// unseen category then start from no opinion.
func (l *linear) Init(params []float32, _ uint64) { clear(params) }

// Rescale multiplies all weights and moves the biases.
func (l *linear) Rescale(params []float32, offsets []float64, scale float64) {
	for i, w := range params {
		params[i] = float32(float64(w) * scale)
	}
	biases := params[len(params)-l.outputs:]
	for k, w := range biases {
		biases[k] = float32(float64(w) + offsets[k])
	}
}

func (l *linear) Forward(c *Chunk, params, z []float32) {
	if l.outputs > 1 {
		l.forwardRows(c, params, z)
		return
	}
	b, from, to, bias := c.Block, c.From, c.To, params[len(params)-1]
	kernel.Affine(z, b.Numbers, from, params[:len(b.Numbers)], bias, b.AheadOf(from, to))
	for j := range l.shape.Cardinalities {
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.Gather(z, l.table(params, j), bytes[from:to])
		case shorts != nil:
			kernel.Gather(z, l.table(params, j), shorts[from:to])
		default:
			kernel.Gather(z, l.table(params, j), words[from:to])
		}
	}
	for i, column := range b.Terms {
		kernel.GatherTerms(z, l.terms(params, i), column[from:to], 1)
	}
	for i, column := range b.Lists {
		w := l.array(params, i)
		for r := range z {
			z[r] += kernel.Dot(w, column[(from+r)*len(w):(from+r+1)*len(w)])
		}
	}
}

func (l *linear) Backward(c *Chunk, _, d, grad []float32) {
	if l.outputs > 1 {
		l.backwardRows(c, d, grad)
		return
	}
	b, from, to := c.Block, c.From, c.To
	grad[len(grad)-1] += kernel.DotColumns(grad[:len(b.Numbers)], d, b.Numbers, from)
	var tables [4][]float32
	var ids [4][]uint8
	n := 0
	for j := range l.shape.Cardinalities {
		bytes, shorts, words := b.Slot(j)
		switch table := l.table(grad, j); {
		case bytes != nil:
			tables[n], ids[n] = table, bytes[from:to]
			n++
		case shorts != nil:
			kernel.Scatter(table, shorts[from:to], d)
		default:
			kernel.Scatter(table, words[from:to], d)
		}
		if n == len(ids) || j+1 == len(l.shape.Cardinalities) {
			kernel.ScatterBytes(tables[:n], ids[:n], d)
			n = 0
		}
	}
	for i, column := range b.Terms {
		kernel.ScatterTerms(l.terms(grad, i), column[from:to], d, 1)
	}
	for i, column := range b.Lists {
		g := l.array(grad, i)
		for r, x := range d {
			kernel.AddScaled(g, column[(from+r)*len(g):(from+r+1)*len(g)], x)
		}
	}
}

// forwardRows is Forward of several outputs, whose values of a row lie side by side.
func (l *linear) forwardRows(c *Chunk, params, z []float32) {
	b, from, to, k := c.Block, c.From, c.To, l.outputs
	for r := 0; r < len(z); r += k {
		copy(z[r:r+k], params[len(params)-k:])
	}
	for i, column := range b.Numbers {
		kernel.AddRows(z, column[from:to], params[i*k:(i+1)*k])
	}
	for j := range l.shape.Cardinalities {
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.GatherRows(z, l.table(params, j), bytes[from:to], k, k)
		case shorts != nil:
			kernel.GatherRows(z, l.table(params, j), shorts[from:to], k, k)
		default:
			kernel.GatherRows(z, l.table(params, j), words[from:to], k, k)
		}
	}
	for i, column := range b.Terms {
		kernel.GatherTerms(z, l.terms(params, i), column[from:to], k)
	}
	for i := range b.Lists {
		l.eachElement(c, i, func(row, element int, x float32) {
			kernel.AddScaled(z[row*k:(row+1)*k], l.array(params, i)[element*k:(element+1)*k], x)
		})
	}
}

// backwardRows is its Backward.
func (l *linear) backwardRows(c *Chunk, d, grad []float32) {
	b, from, to, k := c.Block, c.From, c.To, l.outputs
	for r := 0; r < len(d); r += k {
		kernel.AddScaled(grad[len(grad)-k:], d[r:r+k], 1)
	}
	for i, column := range b.Numbers {
		kernel.DotRows(grad[i*k:(i+1)*k], d, column[from:to])
	}
	for j := range l.shape.Cardinalities {
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.ScatterRows(l.table(grad, j), bytes[from:to], d, k, k)
		case shorts != nil:
			kernel.ScatterRows(l.table(grad, j), shorts[from:to], d, k, k)
		default:
			kernel.ScatterRows(l.table(grad, j), words[from:to], d, k, k)
		}
	}
	for i, column := range b.Terms {
		kernel.ScatterTerms(l.terms(grad, i), column[from:to], d, k)
	}
	for i := range b.Lists {
		l.eachElement(c, i, func(row, element int, x float32) {
			kernel.AddScaled(l.array(grad, i)[element*k:(element+1)*k], d[row*k:(row+1)*k], x)
		})
	}
}

// eachElement calls f for the elements of list slot i in the chunk's rows.
func (l *linear) eachElement(c *Chunk, i int, f func(row, element int, x float32)) {
	n := kernel.Elements(l.shape.Lists[i])
	for row := range c.To - c.From {
		for element, x := range c.Block.Lists[i][(c.From+row)*n : (c.From+row+1)*n] {
			f(row, element, x)
		}
	}
}
