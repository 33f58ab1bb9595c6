package feature

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxValue bounds the numbers whose moments cannot overflow: squares of differences of 10^18
// of them have a finite sum.
const maxValue = 1e144

// large is the first value beyond maxValue that a Fitter has met.
type large struct {
	found bool
	row   int64 // its value in table.RowColumn
	value float64
}

// meet notes a value of a row of batch.
func (l *large) meet(batch arrow.Record, row int, x float64) {
	if !l.found {
		*l = large{true, table.RowNumber(batch, row), x}
	}
}

// err is what is wrong with the value, nil where there is none.
func (l *large) err(what string) error {
	if !l.found {
		return nil
	}
	return &thalweg.Error{Op: "gather statistics", Kind: thalweg.Invalid,
		Err:  &table.RowError{What: what, Row: l.row, Err: fmt.Errorf("%v is beyond ±%v: mean and variance overflow", l.value, float64(maxValue))},
		Hint: "filter such rows out, clip them (outliers), or have their shard left out: sources.train.on_bad_shard"}
}

// Moments summarises the numbers of training rows.
type Moments struct {
	Count   int64   `json:"count"`   // values
	Missing int64   `json:"missing"` // rows without one
	Mean    float64 `json:"mean"`
	M2      float64 `json:"m2"` // sum of squared deviations from the mean
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
}

// Deviation returns the standard deviation of the values themselves (divided
// by their count, not by one less); 0 where there is none.
func (m Moments) Deviation() float64 {
	if m.Count == 0 {
		return 0
	}
	return math.Sqrt(m.M2 / float64(m.Count))
}

// reach returns how far from 0 the values go.
func (m Moments) reach() float64 { return max(-m.Min, m.Max) }

// merge adds the values of o, by the pairwise update of Chan, Golub and LeVeque
// (1979). The result depends on the order of merges in its last bits, so the
// order is part of every caller's contract. Products are rounded by themselves,
// so that no compiler fuses them into the sums and other bits come out on
// another architecture.
func (m *Moments) merge(o Moments) {
	missing := m.Missing + o.Missing
	switch {
	case o.Count == 0:
	case m.Count == 0:
		*m = o
	default:
		n := float64(m.Count + o.Count)
		share := float64(o.Count) / n
		delta := o.Mean - m.Mean
		m.M2 += o.M2 + float64(float64(delta*delta)*float64(float64(m.Count)*share))
		m.Mean += float64(delta * share)
		m.Count += o.Count
		m.Min, m.Max = math.Min(m.Min, o.Min), math.Max(m.Max, o.Max)
		m.exact()
	}
	m.Missing = missing
}

// check reports moments that no finite values have.
func (m Moments) check() error {
	switch {
	case m.Count < 0 || m.Missing < 0:
		return fmt.Errorf("negative counts")
	case !finite(m.Mean) || !finite(m.M2):
		return &thalweg.Error{Op: "mean and variance overflow", Kind: thalweg.Invalid,
			Hint: "filter out values near the end of the float64 range"}
	case !finite(m.Min) || !finite(m.Max) || m.M2 < 0 || m.Min > m.Max:
		return fmt.Errorf("moments that no values have")
	}
	return nil
}

// momentsBlock is how many values are summed at a time. Blocks are counted in
// values and not in batches, so that batch boundaries change no bit; within a
// block two passes give the variance without cancellation.
const momentsBlock = 1024

// gatherer accumulates moments of values that come in any portions.
type gatherer struct {
	done Moments
	// warp is applied to each value; nil is the identity.
	warp func(float64) float64
	n    int
	buf  [momentsBlock]float64
	large
}

// flush merges the values gathered since the last one.
func (g *gatherer) flush() {
	g.done = g.moments()
	g.n = 0
}

// moments returns the summary so far; more values may follow.
func (g *gatherer) moments() Moments {
	m, v := g.done, g.buf[:g.n]
	if g.n == 0 {
		return m
	}
	if g.warp != nil {
		v = make([]float64, g.n)
		for i, x := range g.buf[:g.n] {
			v[i] = g.warp(x)
		}
	}
	m.merge(momentsOf(v))
	return m
}

// momentsOf summarises at least one value. Sums run in four lanes of fixed
// order.
func momentsOf(v []float64) Moments {
	least, most := v[0], v[0]
	for _, x := range v {
		if x < least {
			least = x
		}
		if x > most {
			most = x
		}
	}
	m := Moments{Count: int64(len(v)), Min: least, Max: most}
	m.Mean = sum(v) / float64(len(v))
	m.M2 = sumSquares(v, m.Mean)
	m.exact()
	return m
}

// exact gives equal values themselves as their mean and no deviation: the rounded
// sum of most of them is no multiple of the value.
func (m *Moments) exact() {
	if m.Min == m.Max {
		m.Mean, m.M2 = m.Min, 0
	}
}

func sum(v []float64) float64 {
	var s [4]float64
	for ; len(v) >= 4; v = v[4:] {
		s[0] += v[0]
		s[1] += v[1]
		s[2] += v[2]
		s[3] += v[3]
	}
	for i, x := range v {
		s[i] += x
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// sumSquares returns the sum of the squared differences from mean.
func sumSquares(v []float64, mean float64) float64 {
	var s [4]float64
	for ; len(v) >= 4; v = v[4:] {
		a, b, c, d := v[0]-mean, v[1]-mean, v[2]-mean, v[3]-mean
		s[0] += float64(a * a)
		s[1] += float64(b * b)
		s[2] += float64(c * c)
		s[3] += float64(d * d)
	}
	for i, x := range v {
		s[i] += float64((x - mean) * (x - mean))
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// observe adds the values of a, a column of batch, in the rows that use marks, and counts
// those rows that have none. It fails once the moments overflow.
func (g *gatherer) observe(what string, batch arrow.Record, a arrow.Array, use table.Mask) error {
	valid := table.Valid(a)
	valid.And(use)
	before := g.done.Count + int64(g.n)
	switch a := a.(type) {
	case *array.Int64:
		gather(g, a.Int64Values(), valid)
	case *array.Float64:
		if i := gather(g, a.Float64Values(), valid); i >= 0 {
			g.meet(batch, i, a.Value(i))
		}
	case *array.Boolean:
		gather(g, table.Indicators(a), valid)
	default:
		return unreadable(what, a)
	}
	g.done.Missing += int64(use.Count()) - (g.done.Count + int64(g.n) - before)
	return g.overflow(what)
}

// overflow names the first value beyond maxValue once the moments overflow.
func (g *gatherer) overflow(what string) error {
	if g.found && g.warp == nil && g.moments().check() != nil {
		return g.err(what)
	}
	return nil
}

// gather adds the finite values in the rows that use marks. It returns the first row with one
// beyond maxValue, -1 where there is none.
func gather[T int64 | float64](g *gatherer, values []T, use table.Mask) int {
	first := -1
	for w, word := range use.Words {
		rows := values[w*64:]
		for ; word != 0; word &= word - 1 {
			i := bits.TrailingZeros64(word)
			x := float64(rows[i])
			if !(math.Abs(x) <= maxValue) { // NaN too
				if !finite(x) {
					continue
				}
				if first < 0 {
					first = w*64 + i
				}
			}
			g.add(x)
		}
	}
	return first
}

// add adds a finite value.
func (g *gatherer) add(x float64) {
	g.buf[g.n] = x
	if g.n++; g.n == momentsBlock {
		g.flush()
	}
}

const (
	// loneShare is the share of a feature's variance from which on one value sets its scale:
	// the others then lie within a tenth of a deviation of each other.
	loneShare = 0.99
	// leastForLone is from how many values on that is odd.
	leastForLone = 100
)

// Lone is a number that makes all but the whole variance of its feature, and so sets the
// scale of all others.
type Lone struct {
	Feature string
	Value   float64
	Share   float64 // of the variance
	Count   int64   // of values
	Shard   int     // the first that has it
	source  source
}

// LoneNumbers finds them in what Finish made of the partials of all shards: at most one a
// feature, of those whose normalisation goes by the values themselves.
func LoneNumbers(plan *pipeline.Plan, t *Transform, partials [][]byte) ([]Lone, error) {
	var found []Lone
	places := make(map[int]int) // in found, by feature
	for i, f := range t.data.Features {
		if f.Number == nil || f.Number.Normalization != "zscore" && f.Number.Normalization != "minmax" {
			continue
		}
		if value, share := f.Number.Statistics.lone(); share >= loneShare && f.Number.Statistics.Count >= leastForLone {
			places[i] = len(found)
			found = append(found, Lone{f.Name, value, share, f.Number.Statistics.Count, -1, sourceOf(plan.Features[i])})
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for shard, bytes := range partials {
		p, err := decodePartial(plan, shard, bytes)
		if err != nil {
			return nil, err
		}
		for i, k := range places {
			l := &found[k]
			if m := p.Features[i].Number; l.Shard < 0 && m.Count > 0 && (m.Min == l.Value || m.Max == l.Value) {
				l.Shard = shard
			}
		}
	}
	return found, nil
}

// lone returns the value that is farthest from the mean, and its share of the variance: what
// of the sum of squares is gone without it.
func (m Moments) lone() (value, share float64) {
	if m.Count < 2 || m.M2 <= 0 {
		return 0, 0
	}
	value = m.Max
	if m.Mean-m.Min > m.Max-m.Mean {
		value = m.Min
	}
	d := value - m.Mean
	return value, math.Min(1, d*d*(float64(m.Count)/float64(m.Count-1))/m.M2)
}

// Find returns the first row of a batch that has the value among those that use marks, its
// value in table.RowColumn; false where none has.
func (l Lone) Find(batch arrow.Record, use func(row int) bool) (row int64, ok bool, err error) {
	a, err := l.source.read(batch)
	if err != nil {
		return 0, false, err
	}
	defer a.Release()
	var at func(i int) float64
	switch a := a.(type) {
	case *array.Float64:
		at = a.Value
	case *array.Int64:
		at = func(i int) float64 { return float64(a.Value(i)) }
	default: // of bools, no value is far
		return 0, false, nil
	}
	for i := range a.Len() {
		if a.IsValid(i) && at(i) == l.Value && use(i) {
			return table.RowNumber(batch, i), true, nil
		}
	}
	return 0, false, nil
}
