package feature

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Target makes a category the mean label of the training rows with its value, drawn to
// the mean of all. A training row gets that of the rows in other folds, so that a model
// does not learn its label from it; any other row that of all.
type Target struct {
	// Folds are how many parts training rows are cut into, by their hashes.
	Folds int `yaml:"folds,omitempty" json:"folds,omitempty" jsonschema:"minimum=2,maximum=20" default:"5"`
	// Smoothing is how many rows with the mean of all count beside those of a value.
	Smoothing float64 `yaml:"smoothing,omitempty" json:"smoothing,omitempty" jsonschema:"minimum=0,maximum=1000000" default:"10"`
}

// targetBounds are those of the values of a category whose labels are summed by fold.
var targetBounds = bounds{values: 1 << 18, bytes: MaxDistinctBytes,
	hint: "derive a column of fewer values, or hash them (encoder: {type: hash})"}

// For implements pipeline.Typed.
func (*Target) For() string { return categoryType }

// Values implements pipeline.Valued.
func (*Target) Values() {}

// LabelFolds implements pipeline.Supervised.
func (t *Target) LabelFolds() int { return t.Folds }

// TargetSums are the labels of training rows by value of a category and fold.
type TargetSums struct {
	Values []string `json:"values"` // in byte order
	// Rows and Sums are of the values by fold, those of rows without a value last.
	Rows [][]int64   `json:"rows"`
	Sums [][]float64 `json:"sums"`
}

// check reports sums that no rows have.
func (s *TargetSums) check(folds int) error {
	if s == nil || len(s.Rows) != len(s.Values)+1 || len(s.Sums) != len(s.Rows) || !slices.IsSorted(s.Values) {
		return fmt.Errorf("no sums of labels")
	}
	for i := range s.Rows {
		if len(s.Rows[i]) != folds || len(s.Sums[i]) != folds || slices.Min(s.Rows[i]) < 0 ||
			slices.ContainsFunc(s.Sums[i], func(x float64) bool { return !finite(x) }) {
			return fmt.Errorf("no sums of labels in %d folds", folds)
		}
	}
	return nil
}

// targeter sums labels.
type targeter struct {
	what    string
	folds   int
	seed    uint64
	at      map[string]int
	integer func(int64) int // of its text
	bytes   int
	rows    [][]int64 // those of rows without a value first
	sums    [][]float64
}

func newTargeter(what string, folds int, seed uint64) *targeter {
	t := &targeter{what: what, folds: folds, seed: seed, at: make(map[string]int)}
	t.integer = table.ByText(t.of)
	t.grow()
	return t
}

func (t *targeter) grow() {
	t.rows, t.sums = append(t.rows, make([]int64, t.folds)), append(t.sums, make([]float64, t.folds))
}

// of returns where the sums of a value are.
func (t *targeter) of(value string) int {
	at, ok := t.at[value]
	if !ok {
		at = len(t.rows)
		t.at[strings.Clone(value)] = at
		t.bytes += len(value)
		t.grow()
	}
	return at
}

// observe adds the labels of the rows that use marks; rows are their numbers.
func (t *targeter) observe(a arrow.Array, labels []float32, rows []int64, use table.Mask) error {
	value := table.Resolver(a, t.of, t.integer)
	if value == nil {
		return unreadable(t.what, a)
	}
	for w, word := range use.Words {
		for ; word != 0; word &= word - 1 {
			i, at := w*64+bits.TrailingZeros64(word), 0
			if a.IsValid(i) {
				at = value(i)
			}
			fold := heldHash(t.seed, rows[i]) % uint64(t.folds)
			t.rows[at][fold]++
			t.sums[at][fold] += float64(labels[i])
		}
		if err := targetBounds.check(t.what, len(t.at), t.bytes); err != nil {
			return err
		}
	}
	return nil
}

// partial returns the sums so far.
func (t *targeter) partial() *TargetSums {
	out := &TargetSums{Values: []string{}}
	for value := range t.at {
		out.Values = append(out.Values, value)
	}
	slices.Sort(out.Values)
	for _, value := range out.Values {
		out.Rows, out.Sums = append(out.Rows, t.rows[t.at[value]]), append(out.Sums, t.sums[t.at[value]])
	}
	out.Rows, out.Sums = append(out.Rows, t.rows[0]), append(out.Sums, t.sums[0])
	return out
}

// merge adds the sums of a shard, in the order of the shards.
func (t *targeter) merge(p *TargetSums) error {
	for i := range p.Rows {
		at := 0
		if i < len(p.Values) {
			at = t.of(p.Values[i])
		}
		for fold := range t.folds {
			t.rows[at][fold] += p.Rows[i][fold]
			t.sums[at][fold] += p.Sums[i][fold]
		}
	}
	return targetBounds.check(t.what, len(t.at), t.bytes)
}

// Fit implements Encoder. The formula is that of scikit-learn's TargetEncoder with a
// number for smooth.
func (t *Target) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	return fitValued(f, s, out, func(v *Valued) {
		all := s.Target
		ids := make([]int, len(all.rows)) // of sums; 0: unknown
		for id, value := range v.Values {
			if at, ok := all.at[value]; ok {
				ids[at] = id + 1
			}
			if v.Fill != nil && *v.Fill == value {
				ids[0] = id + 1 // rows without a value
			}
		}
		order := all.order()
		for held := -1; held < t.Folds; held++ {
			rows, sums := make([]int64, len(v.Values)+1), make([]float64, len(v.Values)+1)
			var total int64
			var sum float64
			for _, at := range order {
				for fold, n := range all.rows[at] {
					if fold != held {
						rows[ids[at]] += n
						sums[ids[at]] += all.sums[at][fold]
						total += n
						sum += all.sums[at][fold]
					}
				}
			}
			mean := smoothed(sum, total, 0, 0)
			numbers := make([]float64, len(rows))
			for id := range numbers {
				numbers[id] = smoothed(sums[id], rows[id], mean, t.Smoothing)
			}
			if v.Unknown == 0 {
				numbers[0] = mean
			}
			if held < 0 {
				v.Numbers = numbers
			} else {
				v.Held = append(v.Held, numbers)
			}
		}
	})
}

// order lists where sums are, by their values, so that adding them up has an order.
func (t *targeter) order() []int {
	out := []int{0}
	for _, value := range t.partial().Values {
		out = append(out, t.at[value])
	}
	return out
}

// Load implements Encoder.
func (t *Target) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	return loadValued(f, data, t.Folds)
}

// heldHash says which fold a training row is in, whatever their number: never 0.
func heldHash(seed uint64, row int64) uint64 {
	return max(kernel.Mix(kernel.Mix(seed+kernel.Golden)^uint64(row)), 1)
}

// smoothed returns sum/n drawn to another mean as if so many rows more had that.
func smoothed(sum float64, n int64, mean, weight float64) float64 {
	if total := float64(n) + weight; total > 0 {
		return (sum + float64(weight*mean)) / total
	}
	return mean
}
