package feature

import (
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

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
