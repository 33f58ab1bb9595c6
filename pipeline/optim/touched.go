package optim

import (
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// wideness is how many times as many weights as a step can touch make a model wide.
const wideness = 4

// wide reports whether batches touch few of the weights of a linear model: whether most
// are of category slots, of which a row has one each, or of term slots.
func wide(shape kernel.Shape, batch int) bool {
	return weightsOf(shape)/wideness >= int64(batch)*touchedOf(shape) && touchedOf(shape) > 0
}

// someTerms is about how many terms a row has: those of a few sentences.
const someTerms = 64

// touchedOf is about how many of them a row touches.
func touchedOf(shape kernel.Shape) int64 {
	return int64(len(shape.Cardinalities) + someTerms*len(shape.Terms))
}

// weightsOf counts the ids of all category and term slots.
func weightsOf(shape kernel.Shape) (n int64) {
	for _, ids := range shape.Cardinalities {
		n += int64(ids)
	}
	for _, ids := range shape.Terms {
		n += int64(ids)
	}
	return n
}

// touched makes a vector of the parameters that a batch touches, with their gradient
// and their part of the optimizer's state, so that a step takes time by the batch and
// not by the model. What is not touched stays as it is: to most optimizers that is what
// a gradient of 0 comes to, adam and those with a momentum go no further in the
// direction of past gradients. Penalties of a weight are those of the steps that touch it.
//
// All weights of numbers and lists are in it, those of ids whose gradient is not 0,
// and at the end the biases.
type touched struct {
	tables, outputs, size int
	categories            int // of the tables: the first ones
	offsets               []int
	vectors               int // in the state, beside a few numbers
	at                    []uint32
	params, grad, state   []float32
	whole, gradient       []float32
	numbers               []uint32 // all 0 between uses
	block                 kernel.Block
}

// newTouched returns one for a vector of parameters and state, and a gradient, which
// becomes all zero and is so between steps.
func newTouched(m *model.Model, o Optimizer, vector, gradient []float32) *touched {
	clear(gradient)
	offsets := m.Tables()
	return &touched{tables: len(offsets) - 1, categories: len(m.Shape().Cardinalities), outputs: m.Outputs(), size: m.Size(), offsets: offsets,
		vectors: o.StateSize(1) - o.StateSize(0), whole: vector, gradient: gradient}
}

// take collects what a block touches.
func (t *touched) take(b *kernel.Block) (params, grad, state []float32) {
	t.at, t.grad = t.at[:0], t.grad[:0]
	t.dense(0, t.offsets[0])
	for j := range t.tables {
		switch bytes, shorts, words := b.Slot(j); {
		case j >= t.categories:
			t.takeTerms(j, b.Terms[j-t.categories])
		case bytes != nil:
			takeIDs(t, j, bytes)
		case shorts != nil:
			takeIDs(t, j, shorts)
		default:
			takeIDs(t, j, words)
		}
	}
	t.dense(t.offsets[t.tables], t.size)
	n := len(t.at)
	t.params = gather(kernel.Resized(t.params, n), t.whole[:t.size], t.at)
	return t.params, t.grad, t.states()
}

// states collects the part of the optimizer's state that is touched.
func (t *touched) states() []float32 {
	n := len(t.at)
	t.state = kernel.Resized(t.state, n*t.vectors)
	for v := range t.vectors {
		gather(t.state[v*n:][:n], t.whole[(1+v)*t.size:][:t.size], t.at)
	}
	t.state = append(t.state, t.whole[(1+t.vectors)*t.size:]...)
	return t.state
}

// takeIDs collects those of ids of slot j whose gradient is not 0, once each.
func takeIDs[I kernel.ID](t *touched, j int, ids []I) {
	table, from := t.gradient[t.offsets[j]:t.offsets[j+1]], uint32(t.offsets[j])
	if t.outputs == 1 {
		n := len(t.at)
		t.at, t.grad = slices.Grow(t.at, len(ids))[:n+len(ids)], slices.Grow(t.grad, len(ids))[:n+len(ids)]
		at, grad := t.at, t.grad[:len(t.at)]
		for _, id := range ids {
			g := table[id]
			table[id] = 0
			at[n], grad[n] = from+uint32(id), g
			n += some(g) // without a branch, which would be taken at random
		}
		t.at, t.grad = at[:n], grad[:n]
		return
	}
	for _, id := range ids {
		t.takeID(table, from, uint32(id))
	}
}

// takeTerms does so with the terms of slot j.
func (t *touched) takeTerms(j int, rows [][]kernel.Term) {
	table, from := t.gradient[t.offsets[j]:t.offsets[j+1]], uint32(t.offsets[j])
	for _, row := range rows {
		for _, term := range row {
			t.takeID(table, from, term.ID)
		}
	}
}

// takeID does so with one id of a table that begins at from.
func (t *touched) takeID(table []float32, from, id uint32) {
	for k := range uint32(t.outputs) {
		if i := id*uint32(t.outputs) + k; table[i] != 0 {
			t.at, t.grad = append(t.at, from+i), append(t.grad, table[i])
			table[i] = 0
		}
	}
}

// some is 1 where g is not 0, and 0 where it is.
func some(g float32) int {
	b := math.Float32bits(g) << 1
	return int((b | -b) >> 31)
}

// gather sets dst to the elements of a vector, and returns it.
func gather(dst, of []float32, at []uint32) []float32 {
	at = at[:len(dst)]
	for k := range dst {
		dst[k] = of[at[k]]
	}
	return dst
}

// dense takes a range of parameters whatever their gradient is.
func (t *touched) dense(from, to int) {
	for i := from; i < to; i++ {
		t.at = append(t.at, uint32(i))
	}
	t.grad = append(t.grad, t.gradient[from:to]...)
	clear(t.gradient[from:to])
}

// put takes the result of a step back.
func (t *touched) put() {
	for k, i := range t.at {
		t.whole[i] = t.params[k]
	}
	n := len(t.at)
	for v := range t.vectors {
		part, state := t.whole[(1+v)*t.size:][:t.size], t.state[v*n:][:n]
		for k, i := range t.at {
			part[i] = state[k]
		}
	}
	copy(t.whole[(1+t.vectors)*t.size:], t.state[t.vectors*n:])
}
