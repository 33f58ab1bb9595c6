package model

import (
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// IntegrationSteps is how many points the gradients of a network are taken at, between the
// reference and a row.
const IntegrationSteps = 32

// networkExplained explains a network by integrated gradients (Sundararajan, Taly and Yan
// 2017): on the straight way from the reference to a row, gradients times how far an input
// moves, the means of IntegrationSteps even steps, each taken in its middle. The first
// layer adds inputs up, so that the way is one of its sums: that of a category leads from the mean
// of its values to one, and that of a number with a periodic embedding along what it enters as.
type networkExplained struct {
	model  *Model
	first  layer.Additive
	params []float32
	inputs Inputs
	to     Reference
	start  []float64   // the first layer's values of the reference
	means  [][]float64 // by category slot: what the reference has of them
	origin [][]float64 // by number slot: likewise
	bases  []float64
}

// pathRows is how many rows are explained at a time: their steps are a chunk.
const pathRows = chunkRows / IntegrationSteps

// networkMemory is what one goroutine needs.
type networkMemory struct {
	w     *Workspace
	grad  []float32
	moves [][]float64 // by row: of each input, how far it moves the first layer's values
	whole []float64
}

func explainNetwork(m *Model, first layer.Additive, params []float32, inputs Inputs, to Reference) way {
	e := &networkExplained{model: m, first: first, params: params, inputs: inputs, to: to}
	of, width := m.part(params, 0), first.Outputs()
	e.start = make([]float64, width)
	first.AddBias(of, e.start)
	for k, x := range to.Numbers {
		origin := make([]float64, width)
		first.AddNumber(of, k, float64(x), origin)
		for h, x := range origin {
			e.start[h] += x
		}
		e.origin = append(e.origin, origin)
	}
	for l, list := range to.Lists {
		for at, x := range list {
			first.AddElement(of, l, at, float64(x), e.start)
		}
	}
	for j, shares := range to.Categories {
		mean := make([]float64, width)
		for id, share := range shares {
			if share > 0 {
				first.AddCategory(of, j, id, share, mean)
			}
		}
		for h, x := range mean {
			e.start[h] += x
		}
		e.means = append(e.means, mean)
	}
	w := m.NewWorkspace()
	values := w.values[0][:width]
	for h, x := range e.start {
		values[h] = float32(x)
	}
	out := e.forward(w, 1)
	for _, x := range out {
		e.bases = append(e.bases, float64(x))
	}
	return e
}

func (e *networkExplained) base(output int) float64 { return e.bases[output] }

// forward returns the last layer's values, given the first one's.
func (e *networkExplained) forward(w *Workspace, rows int) []float32 {
	m := e.model
	w.chunk = Chunk{To: rows}
	for i, l := range m.layers[1:] {
		c, _ := w.enter(i + 1)
		l.Forward(c, m.part(e.params, i+1), w.values[i+1][:rows*l.Outputs()])
	}
	last := len(m.layers) - 1
	return w.values[last][:rows*m.layers[last].Outputs()]
}

// backward returns the gradient of an output by the first layer's values.
func (e *networkExplained) backward(n *networkMemory, rows, output int) []float32 {
	m, w := e.model, n.w
	last := len(m.layers) - 1
	outGrad := w.values[last][:rows*m.layers[last].Outputs()]
	clear(outGrad)
	for i := output; i < len(outGrad); i += m.layers[last].Outputs() {
		outGrad[i] = 1
	}
	for i := last; i > 0; i-- {
		c, _ := w.enter(i)
		c.InGrad = w.grads[i-1][:rows*m.layers[i-1].Outputs()]
		from, to := m.ends[i-1]-m.First(), m.ends[i]-m.First()
		m.layers[i].Backward(c, m.part(e.params, i), outGrad, n.grad[from:to])
		outGrad = c.InGrad
	}
	return outGrad
}

func (e *networkExplained) add(s *Explaining, b *kernel.Block, rows []int32, output int, out [][]float64) {
	n, _ := s.keep.(*networkMemory)
	width := len(e.start)
	if n == nil {
		n = &networkMemory{w: e.model.NewWorkspace(), grad: make([]float32, e.model.Size()-e.model.First()), whole: make([]float64, width)}
		for range pathRows {
			n.moves = append(n.moves, make([]float64, len(e.inputs.Names)*width))
		}
		s.keep = n
	}
	for from := 0; from < len(rows); from += pathRows {
		some := rows[from:min(from+pathRows, len(rows))]
		path := n.w.values[0][:len(some)*IntegrationSteps*width]
		for r, i := range some {
			e.move(b, int(i), n.moves[r])
			clear(n.whole)
			for k, x := range n.moves[r] {
				n.whole[k%width] += x
			}
			for step := range IntegrationSteps {
				share := (float64(step) + 0.5) / IntegrationSteps
				at := path[(r*IntegrationSteps+step)*width:][:width]
				for h, x := range n.whole {
					at[h] = float32(e.start[h] + float64(share*x))
				}
			}
		}
		e.forward(n.w, len(some)*IntegrationSteps)
		slopes := e.backward(n, len(some)*IntegrationSteps, output)
		for r := range some {
			clear(n.whole) // the mean slope
			for step := range IntegrationSteps {
				for h, g := range slopes[(r*IntegrationSteps+step)*width:][:width] {
					n.whole[h] += float64(float64(g) / IntegrationSteps)
				}
			}
			for input, column := range out {
				sum := 0.0
				for h, x := range n.moves[r][input*width:][:width] {
					sum += float64(n.whole[h] * x)
				}
				column[from+r] += sum
			}
		}
	}
	clear(n.grad) // which nobody reads, and which must not overflow
}

// move sets moves to how far each input of a row is from the reference, by what it adds to
// the first layer's values.
func (e *networkExplained) move(b *kernel.Block, row int, moves []float64) {
	of, width := e.model.part(e.params, 0), len(e.start)
	clear(moves)
	at := func(input int) []float64 { return moves[input*width:][:width] }
	for k, column := range b.Numbers {
		to := at(e.inputs.Numbers[k])
		e.first.AddNumber(of, k, float64(column[row]), to)
		for h, x := range e.origin[k] {
			to[h] -= x
		}
	}
	for j, ids := range b.Categories {
		to := at(e.inputs.Categories[j])
		e.first.AddCategory(of, j, int(ids[row]), 1, to)
		for h, x := range e.means[j] {
			to[h] -= x
		}
	}
	for t, column := range b.Terms {
		for _, term := range column[row] {
			e.first.AddTerm(of, t, int(term.ID), float64(term.Weight), at(e.inputs.Terms[t]))
		}
	}
	for l, column := range b.Lists {
		to := e.to.Lists[l]
		for k, x := range column[row*len(to) : (row+1)*len(to)] {
			e.first.AddElement(of, l, k, float64(x)-float64(to[k]), at(e.inputs.Lists[l]))
		}
	}
}
