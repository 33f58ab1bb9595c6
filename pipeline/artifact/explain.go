package artifact

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
)

// explained is what explains a model with some parameters, kept from call to call.
type explained struct {
	mu     sync.Mutex
	params []float32
	by     *model.Explainer
}

// Inputs says which input each slot of the model is of.
func (a *Artifact) Inputs() (in model.Inputs) {
	in.Names, in.Numbers, in.Categories, in.Lists, in.Terms = a.Transform.Origins()
	return in
}

// Explainer returns what explains the model's predictions. Scorers share it.
func (a *Artifact) Explainer() (*model.Explainer, error) {
	kept := a.explained
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.by != nil && &kept.params[0] == &a.Params[0] {
		return kept.by, nil
	}
	var to model.Reference
	to.Numbers, to.Lists, to.Categories = a.Transform.Means()
	by, err := a.Model.NewExplainer(a.Params, a.Inputs(), to)
	if err != nil {
		return nil, &thalweg.Error{Op: "explain", Kind: thalweg.Unsupported, Subject: "model " + a.Model.Type(), Err: err,
			Hint: "leave scoring.explanations out, or train a model that can be explained"}
	}
	kept.by, kept.params = by, a.Params
	return by, nil
}

// explaining explains the rows that a Scorer scores. What is said of a row are so many
// float32s behind its predictions: the raw score, that of the reference, what the
// inputs that are not named brought together, and of each that is named its place and what
// it brought. Of a row of which nothing is known all are NaN.
type explaining struct {
	by     *model.Explainer
	top    int
	memory model.Explaining
	raw    []float32
	rows   []int32
	shares [][]float64 // by input, of rows
	order  []int
}

// The places behind the predictions of a row.
const (
	rawScore = iota
	baseScore
	otherShares
	firstShare
)

// noInput is the place of an input where fewer are named.
const noInput = -1

func newExplaining(a *Artifact, top int) (*explaining, error) {
	by, err := a.Explainer()
	if err != nil {
		return nil, err
	}
	return &explaining{by: by, top: top, shares: make([][]float64, len(by.Inputs()))}, nil
}

// width is how many float32s a row has behind its predictions.
func (e *explaining) width() int {
	if e == nil {
		return 0
	}
	return firstShare + 2*e.top
}

// rowsAtOnce is how many rows are explained at once, which bounds what is kept of inputs by rows.
const rowsAtOnce = 1024

// explain appends to the predictions of each row what is said of it.
func (s *Scorer) explain() {
	e, n := s.explains, len(s.predictions)/s.width
	e.raw = slices.Grow(e.raw[:0], s.block.Rows*s.outputs)[:s.block.Rows*s.outputs]
	s.artifact.Model.RawScores(s.workspace, s.artifact.Params, &s.block, e.raw)
	_, in := s.Encoded()
	blank := s.applier.Blank()
	stride := s.width + e.width()
	out := make([]float32, n*stride)
	for input := range e.shares {
		e.shares[input] = slices.Grow(e.shares[input][:0], min(n, rowsAtOnce))[:min(n, rowsAtOnce)]
	}
	by := make([][]int, s.outputs) // rows by the output that is explained
	for r := range n {
		row := s.predictions[r*s.width : (r+1)*s.width]
		copy(out[r*stride:], row)
		said := out[r*stride+s.width : (r+1)*stride]
		if blank.Has(int(in[r])) {
			for k := range said {
				said[k] = float32(math.NaN())
			}
			continue
		}
		output := s.explainedOutput(row[:s.outputs])
		by[output] = append(by[output], r)
	}
	for output, rows := range by {
		base := float32(e.by.Base(output))
		for some := range slices.Chunk(rows, rowsAtOnce) {
			e.rows = e.rows[:0]
			for _, r := range some {
				e.rows = append(e.rows, in[r])
			}
			e.by.Explain(&e.memory, &s.block, e.rows, output, e.shares)
			for k, r := range some {
				said := out[r*stride+s.width : (r+1)*stride]
				said[rawScore], said[baseScore] = e.raw[int(in[r])*s.outputs+output], base
				e.strongest(k, said)
			}
		}
	}
	s.predictions = out
}

// explainedOutput is the output whose score is explained: of the likeliest class, or the
// quantile that stands for all.
func (s *Scorer) explainedOutput(predictions []float32) int {
	switch s.answer.Type {
	case model.Category:
		return metric.Likeliest(predictions)
	case model.Quantiles:
		return s.answer.Middle()
	}
	return 0
}

// strongest notes the inputs that brought most to a row, and the sum of the others.
func (e *explaining) strongest(row int, said []float32) {
	e.order = e.order[:0]
	for input := range e.shares {
		e.order = append(e.order, input)
	}
	slices.SortStableFunc(e.order, func(a, b int) int {
		return cmp.Compare(math.Abs(e.shares[b][row]), math.Abs(e.shares[a][row]))
	})
	others := 0.0
	for k, input := range e.order {
		share := e.shares[input][row]
		if k >= e.top {
			others += share
			continue
		}
		said[firstShare+2*k], said[firstShare+2*k+1] = float32(input), float32(share)
		if share == 0 {
			said[firstShare+2*k] = noInput
		}
	}
	for k := len(e.order); k < e.top; k++ {
		said[firstShare+2*k] = noInput
	}
	said[otherShares] = float32(others)
}

// split separates predictions from what is said of them.
func (s *Scorer) split(rows []float32) (predictions, said []float32) {
	more := s.explains.width()
	if more == 0 {
		return rows, nil
	}
	for ; len(rows) > 0; rows = rows[s.width+more:] {
		predictions = append(predictions, rows[:s.width]...)
		said = append(said, rows[s.width:s.width+more]...)
	}
	return predictions, said
}

// explanations appends the columns of pipeline.ExplanationColumns.
func (s *Scorer) explanations(columns []arrow.Array, said []float32) []arrow.Array {
	e := s.explains
	if e == nil {
		return columns
	}
	width := e.width()
	n := len(said) / width
	value := func(at int, has func(row []float32) bool) arrow.Array {
		buf, out := table.Alloc(s.mem, n, arrow.Float64Traits)
		valid := table.NewMask(n)
		for i := range n {
			row := said[i*width : (i+1)*width]
			out[i] = 0
			if has(row) {
				out[i] = float64(row[at])
				valid.Set(i)
			}
		}
		return table.NewColumn(s.mem, table.Float64, n, buf, valid)
	}
	known := func(row []float32) bool { return row[rawScore] == row[rawScore] }
	for _, at := range []int{rawScore, baseScore} {
		columns = append(columns, value(at, known))
	}
	b := array.NewStringBuilder(s.mem)
	defer b.Release()
	b.AppendValues(e.by.Inputs(), nil)
	names := b.NewArray()
	defer names.Release()
	for k := range e.top {
		at := firstShare + 2*k
		named := func(row []float32) bool { return row[at] >= 0 }
		buf, indices := table.Alloc(s.mem, n, arrow.Int32Traits)
		valid := table.NewMask(n)
		for i := range n {
			indices[i] = 0
			if row := said[i*width : (i+1)*width]; named(row) {
				indices[i] = int32(row[at])
				valid.Set(i)
			}
		}
		columns = append(columns, table.NewText(s.mem, n, buf, valid, names), value(at+1, named))
	}
	return append(columns, value(otherShares, known))
}

// top is how many inputs are named of each row.
func (s *Scorer) top() int {
	if s.explains == nil {
		return 0
	}
	return s.explains.top
}

// top is how many inputs the spec wants named of each scored row.
func (a *Artifact) top() int { return a.Spec.Explains() }
