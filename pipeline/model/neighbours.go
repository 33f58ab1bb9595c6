package model

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// neighbours is the layer of KNN, whose parameters are the training rows: panels of 16 rows,
// column by column as kernel.Distances reads them, then the labels. The last panel is filled
// up with zeros, which nothing looks at.
type neighbours struct {
	shape          kernel.Shape
	count, rows    int
	numbers, width int  // columns that are numbers, and all
	hidden         bool // the columns are the values of the layer before, not the block's
	classes        int  // 0: the label is one value
	binary         bool
	means          pipeline.OfMeans
}

// together is how many rows are compared with a panel while that is in the first-level cache.
const together = 16

func (l *neighbours) panels() int { return (l.rows + kernel.PanelRows - 1) / kernel.PanelRows }

// Outputs implements Layer.
func (l *neighbours) Outputs() int { return max(1, l.classes) }

// Views implements Layer.
func (l *neighbours) Views() []View {
	values := View{Name: "rows", Shape: []int{l.panels(), l.width, kernel.PanelRows}, Bias: true}
	return []View{values, {Name: "labels", Shape: []int{l.rows}, Offset: values.Size(), Bias: true}}
}

// Scratch implements Layer.
func (l *neighbours) Scratch() int { return 0 }

// Init implements Layer.
func (l *neighbours) Init(params []float32, _ uint64) { clear(params) }

// Rescale implements Rescaler: labels are in their own unit, and nothing is there to begin with.
func (l *neighbours) Rescale([]float32, []float64, float64) {}

// Backward implements Layer.
func (l *neighbours) Backward(*Chunk, []float32, []float32, []float32) {
	panic("model: neighbours are not descended")
}

// Check implements Checker.
func (l *neighbours) Check(params []float32) error {
	for i, y := range params[len(params)-l.rows:] {
		whole := y >= 0 && y == float32(math.Floor(float64(y)))
		if l.binary && y != 0 && y != 1 || l.classes > 0 && !(whole && int(y) < l.classes) {
			return fmt.Errorf("row %d has the label %v", i, y)
		}
	}
	return nil
}

// column calls put for value p of each of the block's rows from one on.
func (l *neighbours) column(b *kernel.Block, p, from, to int, put func(row int, v float32)) {
	if p < len(b.Numbers) {
		for i, v := range b.Numbers[p][from:to] {
			put(i, v)
		}
		return
	}
	p -= len(b.Numbers)
	for s, dimensions := range l.shape.Lists {
		n := kernel.Elements(dimensions)
		if p < n {
			for i := range to - from {
				put(i, b.Lists[s][(from+i)*n+p])
			}
			return
		}
		p -= n
	}
	switch bytes, shorts, words := b.Slot(p); {
	case bytes != nil:
		putIDs(bytes[from:to], put)
	case shorts != nil:
		putIDs(shorts[from:to], put)
	default:
		putIDs(words[from:to], put)
	}
}

func putIDs[I kernel.ID](ids []I, put func(row int, v float32)) {
	for i, id := range ids {
		put(i, float32(id))
	}
}

// neighbour is a row and how far it is.
type neighbour struct {
	distance float64
	label    float32
}

// search is the memory of a search: of each row that is compared with, its values, and its
// nearest rows so far by their distance.
type search struct {
	queries []float32
	nearest []neighbour
}

func (l *neighbours) search(keep *any) *search {
	s, _ := (*keep).(*search)
	if s == nil {
		s = &search{make([]float32, together*l.width), make([]neighbour, together*l.count)}
		*keep = s
	}
	return s
}

// Forward implements Layer.
func (l *neighbours) Forward(c *Chunk, params, out []float32) {
	s := l.search(c.Keep)
	for from := c.From; from < c.To; from += together {
		n := min(together, c.To-from)
		if l.hidden {
			copy(s.queries, c.In[(from-c.From)*l.width:][:n*l.width])
		} else {
			for p := range l.width {
				l.column(c.Block, p, from, from+n, func(row int, v float32) { s.queries[row*l.width+p] = v })
			}
		}
		l.find(s, params, n)
		for i := range n {
			l.vote(s.nearest[i*l.count:][:l.count], out[(from-c.From+i)*l.Outputs():][:l.Outputs()])
		}
	}
	l.means.FromMeans(out)
}

// find makes nearest the nearest rows of n queries.
func (l *neighbours) find(s *search, params []float32, n int) {
	for i := range s.nearest {
		s.nearest[i] = neighbour{distance: math.Inf(1)}
	}
	labels := params[len(params)-l.rows:]
	var distances [kernel.PanelRows]float64
	each := l.width * kernel.PanelRows
	for p := range l.panels() {
		panel := params[p*each:][:each]
		of := labels[p*kernel.PanelRows : min(l.rows, (p+1)*kernel.PanelRows)]
		for i := range n {
			kernel.Distances(&distances, s.queries[i*l.width:][:l.width], panel, l.numbers)
			nearest := s.nearest[i*l.count:][:l.count]
			for j, label := range of {
				if d := distances[j]; d < nearest[l.count-1].distance {
					insert(nearest, neighbour{d, label})
				}
			}
		}
	}
}

// insert puts a row behind all that are as near, and drops the farthest one.
func insert(nearest []neighbour, v neighbour) {
	i := len(nearest) - 1
	for ; i > 0 && nearest[i-1].distance > v.distance; i-- {
		nearest[i] = nearest[i-1]
	}
	nearest[i] = v
}

// vote sets out to the mean of labels, or the shares of classes.
func (l *neighbours) vote(nearest []neighbour, out []float32) {
	if l.classes == 0 {
		sum := 0.0
		for _, n := range nearest {
			sum += float64(n.label)
		}
		out[0] = float32(sum / float64(len(nearest)))
		return
	}
	clear(out)
	for _, n := range nearest {
		out[int(n.label)]++
	}
	for k, votes := range out {
		out[k] = votes / float32(len(nearest))
	}
}

// Keeps returns how many training rows are the parameters of the model; 0 of another model.
func (m *Model) Keeps() int {
	if l, ok := m.layers[len(m.layers)-1].(*neighbours); ok {
		return l.rows
	}
	return 0
}

// Front is how many parameters come before the rows that a model keeps: those of the network
// on whose hidden layer they are compared.
func (m *Model) Front() int {
	if n := len(m.ends); n > 1 {
		return m.ends[n-2]
	}
	return 0
}

// Remember makes the rows of a block, from row at on, parameters of a model that keeps rows,
// whose others say what a hidden layer makes of them.
func (m *Model) Remember(w *Workspace, params []float32, at int, b *kernel.Block) {
	last := len(m.layers) - 1
	l := m.layers[last].(*neighbours)
	m.check(params, b)
	if at < 0 || at > l.rows-b.Rows || len(b.Labels) != b.Rows || w.owner != m {
		panic("model: rows that have no place")
	}
	kept := m.part(params, last)
	put := func(i, p int, v float32) {
		kept[(i/kernel.PanelRows*l.width+p)*kernel.PanelRows+i%kernel.PanelRows] = v
	}
	copy(kept[len(kept)-l.rows+at:], b.Labels)
	if !l.hidden {
		for p := range l.width {
			l.column(b, p, 0, b.Rows, func(row int, v float32) { put(at+row, p, v) })
		}
		return
	}
	for from := 0; from < b.Rows; from += m.chunk {
		w.chunk = Chunk{Block: b, From: from, To: min(from+m.chunk, b.Rows)}
		m.below(w, params, last, 0)
		c, rows := w.enter(last)
		for i := range rows {
			for p, v := range c.In[i*l.width:][:l.width] {
				put(at+from+i, p, v)
			}
		}
	}
	w.chunk = Chunk{}
}
