package layer

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// input is a dense layer over a block's slots: its outputs are a bias and weighted sums of
// numbers and of the elements of lists, plus a row of a table for each category and, by its
// weight, for each term. A table is what one-hot columns times weights come to. A category
// that the shape embeds has some numbers for each id, which enter as numbers do.
//
// Its parameters are the weights of numbers and of their periodic embeddings (waves.go), then of
// lists and of embeddings, then the tables of categories and of terms, then the embeddings, then
// what periodic ones are made of, then the biases; those of one number, element or id lie side by
// side.
type input struct {
	shape      kernel.Shape
	outputs    int
	gain       float64
	views      []View
	lists      []int // by list slot: where its weights begin
	tables     []table
	embedded   int // how many numbers embeddings have together
	dense      int // where the weights of dense inputs end
	embeddings int // where embeddings begin
	wavy       int // how many values the periodic embedding of a number has, 0: none
	waves      int // where what they are made of begins
	bias, all  int
}

// table is the weights of a category slot or, behind these, of a term slot: a row for each
// id. Of a category that is embedded, rows are the numbers at column at of all embeddings,
// and weights is where those of the numbers begin.
type table struct {
	from, to, width int
	embeds          bool
	weights, at     int
}

func (t table) of(v []float32) []float32 { return v[t.from:t.to] }

// NewInput returns the first layer of a network that reads blocks of a shape, of so many
// outputs.
func NewInput(shape kernel.Shape, outputs int, gain float64) Layer {
	l := newInput(shape, "weight", outputs, 0)
	l.gain = gain
	return l.withBias()
}

// withBias gives the layer biases, behind all else.
func (l *input) withBias() *input {
	l.bias = l.all
	l.views = append(l.views, View{Name: "bias", Shape: []int{l.outputs}, Offset: l.all, Bias: true})
	l.all += l.outputs
	return l
}

// newInput returns the layer without biases, which have no place: bias is where they would be.
// What it has of numbers, elements and ids is called so. A number has so many values beside itself.
func newInput(shape kernel.Shape, called string, outputs, wavy int) *input {
	l := &input{shape: shape, outputs: outputs, wavy: wavy}
	view := func(name string, dimensions ...int) (at int) {
		v := View{Name: name, Shape: dimensions, Offset: l.all}
		l.all += v.Size()
		l.views = append(l.views, v)
		return v.Offset
	}
	add := func(kind, name string, dimensions ...int) (at int) {
		return view(kind+"."+name+"."+called, append(slices.Clone(dimensions), outputs)...)
	}
	for _, name := range shape.NumberNames {
		add("number", name)
	}
	for _, name := range shape.NumberNames {
		if wavy > 0 {
			add("number", name+".periodic", wavy)
		}
	}
	for i, dimensions := range shape.Lists {
		l.lists = append(l.lists, add("list", shape.ListNames[i], dimensions...))
	}
	l.tables = make([]table, len(shape.Cardinalities)+len(shape.Terms))
	for j, name := range shape.CategoryNames {
		if size := shape.Embedding(j); size > 0 {
			l.tables[j] = table{width: size, embeds: true, weights: add("category", name, size), at: l.embedded}
			l.embedded += size
		}
	}
	l.dense = l.all
	whole := func(slot int, kind, name string, n int) {
		l.tables[slot] = table{from: add(kind, name, n), to: l.all, width: outputs}
	}
	for j, n := range shape.Cardinalities {
		if !l.tables[j].embeds {
			whole(j, "category", shape.CategoryNames[j], n)
		}
	}
	for t, n := range shape.Terms {
		whole(len(shape.Cardinalities)+t, "terms", shape.TermNames[t], n)
	}
	l.embeddings = l.all
	for j, n := range shape.Cardinalities {
		if t := &l.tables[j]; t.embeds {
			t.from = view(fmt.Sprintf("category.%s.embedding", shape.CategoryNames[j]), n, t.width)
			t.to = l.all
		}
	}
	l.bias = l.all
	return l
}

func (l *input) Outputs() int  { return l.outputs }
func (l *input) Views() []View { return l.views }

// Scratch has the numbers and then their embeddings, one after the other, then of each row the
// embeddings of ids, then the gradient by them, then what embeddings of numbers keep.
func (l *input) Scratch() int { return l.columns() + 2*l.embedded + l.waveScratch() }

// columns is how many numbers enter, embeddings of numbers included.
func (l *input) columns() int { return l.shape.Numbers * (1 + l.wavy) }

// rareness is how much smaller the weights of ids and terms begin: those that training
// seldom meets stay about what they begin as, and are to say little.
const rareness = 0.25

func (l *input) Init(params []float32, seed uint64) {
	active := l.columns() + l.embedded
	for _, t := range l.tables {
		if !t.embeds {
			active++
		}
	}
	for _, dimensions := range l.shape.Lists {
		active += kernel.Elements(dimensions)
	}
	deviation := math.Sqrt(l.gain / float64(active))
	spread(params[:l.dense], seed, deviation)
	spread(params[l.dense:l.embeddings], kernel.Mix(seed), deviation*rareness)
	embeddings := l.bias
	if l.wavy > 0 {
		embeddings = l.waves
		l.initWaves(params, kernel.Mix(seed+3))
	}
	spread(params[l.embeddings:embeddings], kernel.Mix(seed+2), rareness)
	spread(params[l.bias:], kernel.Mix(seed+1), deviation*rareness) // of categories alone all outputs were the same otherwise
}

// list returns a slot's elements in the chunk's rows, and how many a row has.
func (l *input) list(c *Chunk, slot int) (kernel.Strided, int) {
	n := kernel.Elements(l.shape.Lists[slot])
	return kernel.Strided{Values: c.Block.Lists[slot][c.From*n : c.To*n], Row: n, Column: 1}, n
}

// numbers returns the numbers of the chunk's rows, with their embeddings: where they are if their
// columns lie side by side, as those of batches of training do, or else copies, which are made by
// the parameters; nil: they were made before.
func (l *input) numbers(c *Chunk, params []float32) kernel.Strided {
	if whole := kernel.Adjacent(c.Block.Numbers); whole != nil && l.wavy == 0 {
		return kernel.Strided{Values: whole[c.From:], Row: 1, Column: c.Block.Rows}
	}
	rows := c.To - c.From
	if params != nil {
		for k, column := range c.Block.Numbers {
			copy(c.Scratch[k*rows:], column[c.From:c.To])
		}
		l.embedNumbers(c.Scratch, c.Scratch[rows*(l.columns()+2*l.embedded):], params, rows)
	}
	return kernel.Strided{Values: c.Scratch, Row: 1, Column: rows}
}

func (l *input) Forward(c *Chunk, params, out []float32) {
	l.forward(c, params, params[l.bias:], out)
}

// forward is Forward with biases that are elsewhere; nil: without.
func (l *input) forward(c *Chunk, params, biases, out []float32) {
	b, from, end, width, rows := c.Block, c.From, c.To, l.outputs, c.To-c.From
	kernel.GemmFrom(out, width, biases, l.numbers(c, params), params, width, rows, width, l.columns())
	for i, at := range l.lists {
		elements, n := l.list(c, i)
		kernel.Gemm(out, width, elements, params[at:], width, rows, width, n)
	}
	embedded := c.Scratch[rows*l.columns():][:rows*l.embedded]
	clear(embedded)
	for j := range l.shape.Cardinalities {
		t := l.tables[j]
		to, stride := out, width
		if t.embeds {
			to, stride = embedded[t.at:], l.embedded
		}
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.GatherRows(to, t.of(params), bytes[from:end], t.width, stride)
		case shorts != nil:
			kernel.GatherRows(to, t.of(params), shorts[from:end], t.width, stride)
		default:
			kernel.GatherRows(to, t.of(params), words[from:end], t.width, stride)
		}
	}
	for _, t := range l.tables {
		if t.embeds {
			kernel.Gemm(out, width, kernel.Strided{Values: embedded[t.at:], Row: l.embedded, Column: 1}, params[t.weights:], width, rows, width, t.width)
		}
	}
	for t, column := range b.Terms {
		kernel.GatherTerms(out, l.tables[len(l.shape.Cardinalities)+t].of(params), column[from:end], width)
	}
}

func (l *input) Backward(c *Chunk, params, outGrad, grad []float32) {
	kernel.AddColumns(grad[l.bias:], outGrad)
	l.descend(c, params, outGrad, grad)
}

// descend is the backward of forward, but for the biases.
func (l *input) descend(c *Chunk, params, outGrad, grad []float32) {
	b, from, end, width, rows := c.Block, c.From, c.To, l.outputs, c.To-c.From
	numbers := l.numbers(c, nil)
	numbers.Row, numbers.Column = numbers.Column, numbers.Row
	kernel.Gemm(grad, width, numbers, outGrad, width, l.columns(), width, rows)
	var transposed []float32
	if n := max(l.embedded, l.shape.Numbers*l.wavy); n > 0 {
		transposed = kept(c.Keep, width*n)
	}
	l.descendWaves(c.Scratch, c.Scratch[rows*(l.columns()+2*l.embedded):], params, outGrad, grad, transposed, rows)
	for i, at := range l.lists {
		elements, n := l.list(c, i)
		elements.Row, elements.Column = 1, n
		kernel.Gemm(grad[at:], width, elements, outGrad, width, n, width, rows)
	}
	embedded := c.Scratch[rows*l.columns():][:rows*l.embedded]
	embeddedGrad := c.Scratch[rows*(l.columns()+l.embedded):][:rows*l.embedded]
	clear(embeddedGrad)
	for _, t := range l.tables {
		if t.embeds {
			kernel.Gemm(grad[t.weights:], width, kernel.Strided{Values: embedded[t.at:], Row: 1, Column: l.embedded}, outGrad, width, t.width, width, rows)
			turned := transposed[:width*t.width]
			kernel.Transpose(turned, t.width, params[t.weights:], width, t.width, width)
			kernel.Gemm(embeddedGrad[t.at:], l.embedded, kernel.Strided{Values: outGrad, Row: width, Column: 1}, turned, t.width, rows, t.width, width)
		}
	}
	for j := range l.shape.Cardinalities {
		t := l.tables[j]
		d, stride := outGrad, width
		if t.embeds {
			d, stride = embeddedGrad[t.at:], l.embedded
		}
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.ScatterRows(t.of(grad), bytes[from:end], d, t.width, stride)
		case shorts != nil:
			kernel.ScatterRows(t.of(grad), shorts[from:end], d, t.width, stride)
		default:
			kernel.ScatterRows(t.of(grad), words[from:end], d, t.width, stride)
		}
	}
	for t, column := range b.Terms {
		kernel.ScatterTerms(l.tables[len(l.shape.Cardinalities)+t].of(grad), column[from:end], outGrad, width)
	}
}
