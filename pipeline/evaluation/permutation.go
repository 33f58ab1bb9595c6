package evaluation

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
)

const (
	// permutations is how often the values of an input are shuffled.
	permutations = 3
	// permutedRows bounds the rows that are predicted with shuffled values, and
	// permutedValues the values of them that are kept of all shards: 16 MiB as JSON, or
	// little more. A term is two values.
	permutedRows   = 4096
	permutedValues = 1 << 20
	// permutedInputs bounds the inputs, 12 million predictions.
	permutedInputs = 1000
)

// Permuted is how much worse a metric becomes where an input says nothing: its values are
// shuffled among rows (Breiman 2001).
type Permuted struct {
	Input string `json:"input"`
	// Worse is the mean over some shuffles of how far the metric is from what it was, in
	// its bad direction, and Deviation their standard deviation.
	Worse     float64 `json:"worse"`
	Deviation float64 `json:"deviation"`
}

// Permutation is that of all inputs, by a metric of Rows rows of the judged split.
type Permutation struct {
	Metric string     `json:"metric"`
	Rows   int        `json:"rows"`
	Value  float64    `json:"value"`
	Inputs []Permuted `json:"inputs"` // the one that matters most first
}

// PermutationRows draws rows by their hashes, as a model reads them, and shuffles their
// inputs. Which rows, and how they are shuffled, depends on neither shards nor workers.
type PermutationRows struct {
	Hashes     []uint64          `json:"hashes,omitempty"`
	Labels     []float32         `json:"labels,omitempty"`
	Numbers    [][]float32       `json:"numbers,omitempty"`
	Categories [][]uint32        `json:"categories,omitempty"`
	Lists      [][]float32       `json:"lists,omitempty"`
	Terms      [][][]kernel.Term `json:"terms,omitempty"`
	// Below is the largest hash of rows that are drawn. It falls where rows have more values
	// than are kept, so that the rows of all shards end at the same hash.
	Below uint64 `json:"below"`

	shape  kernel.Shape
	values int // of all rows
}

// NewPermutationRows returns no rows yet of so many that there are; nil where a model has
// too many inputs.
func NewPermutationRows(shape kernel.Shape, inputs int, rows int64) *PermutationRows {
	if inputs > permutedInputs || rows == 0 {
		return nil
	}
	values := shape.Numbers + len(shape.Cardinalities) + 16*len(shape.Terms)
	for _, dimensions := range shape.Lists {
		values += kernel.Elements(dimensions)
	}
	p := &PermutationRows{shape: shape, Below: math.MaxUint64}
	if most := int64(min(permutedRows, max(1, permutedValues/max(1, values)))); rows > most {
		p.Below = math.MaxUint64 / uint64(rows) * uint64(most)
	}
	p.Numbers, p.Categories = make([][]float32, shape.Numbers), make([][]uint32, len(shape.Cardinalities))
	p.Lists, p.Terms = make([][]float32, len(shape.Lists)), make([][][]kernel.Term, len(shape.Terms))
	return p
}

// Observe is shown a row of a block, which has a hash of what it is in the training data.
func (p *PermutationRows) Observe(b *kernel.Block, row int, label float32, hash uint64) {
	if p == nil || hash > p.Below {
		return
	}
	p.Hashes, p.Labels = append(p.Hashes, hash), append(p.Labels, label)
	for k, column := range b.Numbers {
		p.Numbers[k] = append(p.Numbers[k], column[row])
	}
	for j, column := range b.Categories {
		p.Categories[j] = append(p.Categories[j], column[row])
	}
	for l, dimensions := range p.shape.Lists {
		n := kernel.Elements(dimensions)
		p.Lists[l] = append(p.Lists[l], b.Lists[l][row*n:(row+1)*n]...)
	}
	for t, column := range b.Terms {
		p.Terms[t] = append(p.Terms[t], slices.Clone(column[row]))
	}
	if p.values += p.valuesOf(len(p.Hashes) - 1); p.values > 2*permutedValues {
		p.Cut()
	}
}

// valuesOf is how many values a row has.
func (p *PermutationRows) valuesOf(row int) int {
	n := len(p.Numbers) + len(p.Categories)
	for _, dimensions := range p.shape.Lists {
		n += kernel.Elements(dimensions)
	}
	for _, column := range p.Terms {
		n += 2 * len(column[row])
	}
	return n
}

// Cut drops the rows of the largest hashes until the values of the others are as many as are
// kept. What a shard drops is dropped of all shards too: these have more values below a hash.
func (p *PermutationRows) Cut() {
	if p == nil || p.values <= permutedValues {
		return
	}
	byHash := make([]int, len(p.Hashes))
	for i := range byHash {
		byHash[i] = i
	}
	slices.SortFunc(byHash, func(a, b int) int { return cmp.Compare(p.Hashes[a], p.Hashes[b]) })
	values := 0
	for _, row := range byHash {
		if values += p.valuesOf(row); values > permutedValues {
			p.Below = max(p.Hashes[row], 1) - 1
			break
		}
	}
	p.drop()
}

// drop drops the rows whose hashes are not drawn any more.
func (p *PermutationRows) drop() {
	var keep []int
	p.values = 0
	for row, hash := range p.Hashes {
		if hash <= p.Below {
			keep = append(keep, row)
			p.values += p.valuesOf(row)
		}
	}
	if len(keep) == len(p.Hashes) {
		return
	}
	p.Hashes, p.Labels = kept(p.Hashes, keep, 1), kept(p.Labels, keep, 1)
	for k, column := range p.Numbers {
		p.Numbers[k] = kept(column, keep, 1)
	}
	for j, column := range p.Categories {
		p.Categories[j] = kept(column, keep, 1)
	}
	for l, column := range p.Lists {
		p.Lists[l] = kept(column, keep, kernel.Elements(p.shape.Lists[l]))
	}
	for t, column := range p.Terms {
		p.Terms[t] = kept(column, keep, 1)
	}
}

// kept returns the values of some rows, of so many each, in memory of their own.
func kept[T any](column []T, rows []int, width int) []T {
	out := make([]T, 0, len(rows)*width)
	for _, row := range rows {
		out = append(out, column[row*width:(row+1)*width]...)
	}
	return out
}

// Merge adds the rows of another shard.
func (p *PermutationRows) Merge(o *PermutationRows) error {
	if o == nil || p == nil && len(o.Hashes) == 0 {
		return nil
	}
	if p == nil || len(o.Numbers) != len(p.Numbers) || len(o.Categories) != len(p.Categories) || len(o.Lists) != len(p.Lists) || len(o.Terms) != len(p.Terms) {
		return fmt.Errorf("rows of another shape")
	}
	p.Hashes, p.Labels = append(p.Hashes, o.Hashes...), append(p.Labels, o.Labels...)
	appendAll(p.Numbers, o.Numbers)
	appendAll(p.Categories, o.Categories)
	appendAll(p.Lists, o.Lists)
	appendAll(p.Terms, o.Terms)
	p.Below = min(p.Below, o.Below)
	p.drop()
	p.Cut()
	return nil
}

func appendAll[T any](to, from [][]T) {
	for i := range to {
		to[i] = append(to[i], from[i]...)
	}
}

// Importance shuffles each input and says how much worse the metric becomes that training
// is validated by. It is nil where there are too few rows or too many inputs, or where the
// rows have no such metric.
func (p *PermutationRows) Importance(ctx context.Context, spec *pipeline.Spec, m *model.Model, params []float32, answer pipeline.Answer, inputs model.Inputs) (*Permutation, error) {
	return p.importance(ctx, spec.Entries(pipeline.Metrics), spec, m, params, answer, inputs)
}

func (p *PermutationRows) importance(ctx context.Context, catalog []pipeline.Entry, spec *pipeline.Spec, m *model.Model, params []float32, answer pipeline.Answer, inputs model.Inputs) (*Permutation, error) {
	if p == nil || len(p.Labels) < 2 || m.Keeps() > 0 { // predictions that look at all training rows take too long
		return nil, nil
	}
	name := spec.Spec.Trainer.ValidationMetric
	measure := metric.Find(catalog, answer.Type, name)
	if measure == nil {
		return nil, nil
	}
	block := &kernel.Block{Rows: len(p.Labels), Numbers: p.Numbers, Categories: p.Categories, Lists: p.Lists, Terms: p.Terms}
	w, out := m.NewPredictor(), make([]float32, len(p.Labels)*m.Outputs())
	value := func(b *kernel.Block) (float64, bool, error) {
		if m.Predict(w, params, b, out); kernel.Finite(out) >= 0 {
			return 0, false, nil
		}
		sums, err := metric.New(catalog, answer)
		if err != nil {
			return 0, false, err
		}
		sums.Observe(out, p.Labels)
		v, ok := measure.Value(sums)
		return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0), nil
	}
	before, ok, err := value(block)
	if !ok || err != nil {
		return nil, err
	}
	result := &Permutation{Metric: name, Rows: block.Rows, Value: before}
	for input, title := range inputs.Names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var worse []float64
		for shuffle := range permutations {
			after, ok, err := value(p.shuffled(block, inputs, input, p.order(input, shuffle)))
			if err != nil {
				return nil, err
			}
			if ok && measure.HigherIsBetter {
				worse = append(worse, before-after)
			} else if ok {
				worse = append(worse, after-before)
			}
		}
		if len(worse) == permutations {
			mean, deviation := spreadOf(worse)
			result.Inputs = append(result.Inputs, Permuted{title, mean, deviation})
		}
	}
	slices.SortStableFunc(result.Inputs, func(a, b Permuted) int { return cmp.Compare(b.Worse, a.Worse) })
	return result, nil
}

func spreadOf(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(deviation / float64(len(values)-1))
}

// order says which row each row gets the values of.
func (p *PermutationRows) order(input, shuffle int) []int {
	seed := kernel.Mix(uint64(input)*permutations + uint64(shuffle) + kernel.Golden)
	drawn, place := make([]int, len(p.Hashes)), make([]int, len(p.Hashes))
	for i := range drawn {
		drawn[i], place[i] = i, i
	}
	by := func(key func(i int) uint64) func(a, b int) int {
		return func(a, b int) int { return cmp.Compare(key(a), key(b)) }
	}
	slices.SortStableFunc(place, by(func(i int) uint64 { return p.Hashes[i] }))
	slices.SortStableFunc(drawn, by(func(i int) uint64 { return kernel.Mix(p.Hashes[i] ^ seed) }))
	order := make([]int, len(drawn))
	for k, i := range place {
		order[i] = drawn[k]
	}
	return order
}

// shuffled is a block in which the slots of an input have the values of other rows.
func (p *PermutationRows) shuffled(b *kernel.Block, inputs model.Inputs, input int, order []int) *kernel.Block {
	out := *b
	out.Numbers = shuffleSlots(b.Numbers, inputs.Numbers, input, order, func(int) int { return 1 })
	out.Categories = shuffleSlots(b.Categories, inputs.Categories, input, order, func(int) int { return 1 })
	out.Terms = shuffleSlots(b.Terms, inputs.Terms, input, order, func(int) int { return 1 })
	out.Lists = shuffleSlots(b.Lists, inputs.Lists, input, order, func(l int) int { return kernel.Elements(p.shape.Lists[l]) })
	return &out
}

// shuffleSlots is columns of which those of an input are shuffled; a row has so many
// values of each.
func shuffleSlots[T any](columns [][]T, of []int, input int, order []int, width func(slot int) int) [][]T {
	out := slices.Clone(columns)
	for slot, column := range columns {
		if of[slot] != input {
			continue
		}
		n := width(slot)
		out[slot] = kept(column, order, n)
	}
	return out
}

// Table shows the inputs, in as many lines as fit into so many bytes; "" where there are
// none.
func (p *Permutation) Table(most int) string {
	if p == nil || len(p.Inputs) == 0 {
		return ""
	}
	rows := [][]string{{"input", p.Metric + " worse by", "deviation"}}
	for _, in := range p.Inputs {
		rows = append(rows, []string{in.Input, fmt.Sprintf("%.4g", in.Worse), fmt.Sprintf("%.2g", in.Deviation)})
	}
	return TableText(rows, most)
}
