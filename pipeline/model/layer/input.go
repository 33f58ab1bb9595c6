package layer

import (
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// input is a dense layer over a block's slots: its outputs are a bias and weighted sums of
// numbers and of the elements of lists, plus a row of a table for each category and, by its
// weight, for each term. A table is what one-hot columns times weights come to.
//
// Its parameters are the weights of numbers, then of lists, then the tables of categories and
// of terms, then the biases; those of one number, element or id lie side by side.
type input struct {
	shape     kernel.Shape
	outputs   int
	gain      float64
	views     []View
	lists     []int // by list slot: where its weights begin
	tables    []int // by category slot, then by term slot: where its table begins
	bias, all int
}

// NewInput returns the first layer of a network that reads blocks of a shape, of so many
// outputs.
func NewInput(shape kernel.Shape, outputs int, gain float64) Layer {
	l := &input{shape: shape, outputs: outputs, gain: gain}
	add := func(name string, dimensions ...int) (at int) {
		v := View{Name: name, Shape: append(slices.Clone(dimensions), outputs), Offset: l.all, Bias: name == "bias"}
		l.all += v.Size()
		l.views = append(l.views, v)
		return v.Offset
	}
	for _, name := range shape.NumberNames {
		add(fmt.Sprintf("number.%s.weight", name))
	}
	for i, dimensions := range shape.Lists {
		l.lists = append(l.lists, add(fmt.Sprintf("list.%s.weight", shape.ListNames[i]), dimensions...))
	}
	for j, n := range shape.Cardinalities {
		l.tables = append(l.tables, add(fmt.Sprintf("category.%s.weight", shape.CategoryNames[j]), n))
	}
	for t, n := range shape.Terms {
		l.tables = append(l.tables, add(fmt.Sprintf("terms.%s.weight", shape.TermNames[t]), n))
	}
	l.bias = add("bias")
	return l
}

func (l *input) Outputs() int  { return l.outputs }
func (l *input) Views() []View { return l.views }

// Scratch has the numbers, one after the other.
func (l *input) Scratch() int { return l.shape.Numbers }

// rareness is how much smaller the weights of ids and terms begin: those that training
// seldom meets stay about what they begin as, and are to say little.
const rareness = 0.25

func (l *input) Init(params []float32, seed uint64) {
	active := l.shape.Numbers + len(l.tables)
	for _, dimensions := range l.shape.Lists {
		active += kernel.Elements(dimensions)
	}
	deviation := math.Sqrt(l.gain / float64(active))
	dense := l.bias
	if len(l.tables) > 0 {
		dense = l.tables[0]
	}
	spread(params[:dense], seed, deviation)
	spread(params[dense:l.bias], kernel.Mix(seed), deviation*rareness)
	spread(params[l.bias:], kernel.Mix(seed+1), deviation*rareness) // of categories alone all outputs were the same otherwise
}

func (l *input) table(v []float32, slot int) []float32 {
	end := l.bias
	if slot+1 < len(l.tables) {
		end = l.tables[slot+1]
	}
	return v[l.tables[slot]:end]
}

// list returns a slot's elements in the chunk's rows, and how many a row has.
func (l *input) list(c *Chunk, slot int) (kernel.Strided, int) {
	n := kernel.Elements(l.shape.Lists[slot])
	return kernel.Strided{Values: c.Block.Lists[slot][c.From*n : c.To*n], Row: n, Column: 1}, n
}

func (l *input) Forward(c *Chunk, params, out []float32) {
	b, from, to, width, rows := c.Block, c.From, c.To, l.outputs, c.To-c.From
	repeat(out, params[l.bias:])
	for k, column := range b.Numbers {
		copy(c.Scratch[k*rows:], column[from:to])
	}
	kernel.Gemm(out, width, kernel.Strided{Values: c.Scratch, Row: 1, Column: rows}, params, width, rows, width, l.shape.Numbers)
	for i, at := range l.lists {
		elements, n := l.list(c, i)
		kernel.Gemm(out, width, elements, params[at:], width, rows, width, n)
	}
	for j := range l.shape.Cardinalities {
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.GatherRows(out, l.table(params, j), bytes[from:to], width)
		case shorts != nil:
			kernel.GatherRows(out, l.table(params, j), shorts[from:to], width)
		default:
			kernel.GatherRows(out, l.table(params, j), words[from:to], width)
		}
	}
	for t, column := range b.Terms {
		kernel.GatherTerms(out, l.table(params, len(l.shape.Cardinalities)+t), column[from:to], width)
	}
}

func (l *input) Backward(c *Chunk, _, outGrad, grad []float32) {
	b, from, to, width, rows := c.Block, c.From, c.To, l.outputs, c.To-c.From
	kernel.AddColumns(grad[l.bias:], outGrad)
	kernel.Gemm(grad, width, kernel.Strided{Values: c.Scratch, Row: rows, Column: 1}, outGrad, width, l.shape.Numbers, width, rows)
	for i, at := range l.lists {
		elements, n := l.list(c, i)
		elements.Row, elements.Column = 1, n
		kernel.Gemm(grad[at:], width, elements, outGrad, width, n, width, rows)
	}
	for j := range l.shape.Cardinalities {
		switch bytes, shorts, words := b.Slot(j); {
		case bytes != nil:
			kernel.ScatterRows(l.table(grad, j), bytes[from:to], outGrad, width)
		case shorts != nil:
			kernel.ScatterRows(l.table(grad, j), shorts[from:to], outGrad, width)
		default:
			kernel.ScatterRows(l.table(grad, j), words[from:to], outGrad, width)
		}
	}
	for t, column := range b.Terms {
		kernel.ScatterTerms(l.table(grad, len(l.shape.Cardinalities)+t), column[from:to], outGrad, width)
	}
}
