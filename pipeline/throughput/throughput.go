// Package throughput measures how many rows a second a version scores, and how many once they
// are explained, or predicted several times.
//
// It measures where it is called, on one core: features, predictions and what is asked beside
// them, of rows drawn from what training saw of each column. What a stream does besides,
// reading, decoding, cleaning and writing, is not in it, so that a stream of the version does
// no more than this on a core.
package throughput

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Rates are rows a second of one core.
type Rates struct {
	// Plain is of predictions alone, With of what is asked beside them too.
	Plain float64 `json:"plain_rows_per_second,omitzero"`
	With  float64 `json:"rows_per_second,omitzero"`
}

// The size of a measurement.
const (
	mostRows  = 4096
	leastRows = 16
	// least is how long a measurement takes, so that a clock can tell, and rounds how often
	// both are repeated in turn: the fastest is what the machine does if nothing disturbs it.
	least  = 10 * time.Millisecond
	rounds = 5
)

// Measure returns the rates of a version whose rows are explained by so many inputs, 0 for
// none, and predicted as often as samples says; nil: once.
func Measure(ctx context.Context, a *artifact.Artifact, top int, samples pipeline.SamplingSpec) (r Rates, err error) {
	of := [2]*measured{}
	for i := range of {
		of[i] = new(measured)
		if i == 0 {
			of[i].scorer, err = a.NewScorerWith(0, nil)
		} else {
			of[i].scorer, err = a.NewScorerWith(top, samples)
		}
		if err != nil {
			return r, err
		}
	}
	rows := draw(of[0].scorer.Cleaned(), a.Transform.Features())
	defer rows.Release()
	for _, m := range of {
		if err := m.size(ctx, rows); err != nil {
			return r, err
		}
	}
	for range rounds {
		for _, m := range of {
			if _, err := m.run(ctx, rows); err != nil {
				return r, err
			}
		}
	}
	return Rates{1 / of[0].best, 1 / of[1].best}, nil
}

// measured is a scorer, how many rows it scores at a time, and the fewest seconds for one.
type measured struct {
	scorer *artifact.Scorer
	rows   int64
	best   float64
}

// size finds how many rows take long enough.
func (m *measured) size(ctx context.Context, rows arrow.Record) error {
	for m.rows = leastRows; ; m.rows = min(4*m.rows, mostRows) {
		m.best = 0 // of few rows it is no rate
		took, err := m.run(ctx, rows)
		if err != nil || took >= least || m.rows == mostRows {
			return err
		}
	}
}

// run scores the rows once.
func (m *measured) run(ctx context.Context, rows arrow.Record) (took time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	some := rows.NewSlice(0, m.rows)
	defer some.Release()
	start := time.Now()
	scored, _, err := m.scorer.ScoreCleaned(some, new(pipeline.Report))
	took = time.Since(start)
	if err != nil {
		return 0, err
	}
	scored.Release()
	if each := took.Seconds() / float64(m.rows); m.best == 0 || each < m.best {
		m.best = each
	}
	return took, nil
}

// draw returns rows of cleaned columns: values that training saw, where features say which.
func draw(schema table.Schema, features []feature.Feature) arrow.Record {
	random := rand.New(rand.NewPCG(1, 2))
	fields := schema.Arrow() // with table.RowColumn
	columns := make([]arrow.Array, fields.NumFields())
	for i, f := range fields.Fields() {
		of := known(f.Name, features)
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		for row := range mostRows {
			if f.Name == table.RowColumn {
				b.(*array.Int64Builder).Append(int64(row))
			} else {
				of.add(b, random)
			}
		}
		columns[i] = b.NewArray()
		b.Release()
	}
	out := array.NewRecord(fields, columns, mostRows)
	for _, c := range columns {
		c.Release()
	}
	return out
}

// values are what is known of a column.
type values struct {
	low, high float64
	texts     []string
	length    int // of lists
}

func known(column string, features []feature.Feature) values {
	v := values{high: 1000, length: 1}
	for i := range features {
		f := &features[i]
		var m feature.Moments
		switch {
		case f.Column != column:
		case f.Number != nil:
			m = f.Number.Statistics
		case f.Bins != nil:
			m = f.Bins.Statistics
		case f.Periodic != nil:
			m = f.Periodic.Statistics
		case f.Category != nil:
			v.texts = f.Category.Values
		case f.Hashed != nil:
			v.texts = f.Hashed.Values
		case f.Valued != nil:
			v.texts = f.Valued.Values
		case f.List != nil:
			v.length = f.List.Length
		}
		if m.Count > 0 {
			v.low, v.high = m.Min, m.Max
		}
	}
	return v
}

// words are a text of which nothing is known.
const words = 12

func (v *values) number(random *rand.Rand) float64 {
	return v.low + float64(random.Float64()*(v.high-v.low))
}

// add appends a value.
func (v *values) add(b array.Builder, random *rand.Rand) {
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(int64(v.number(random)))
	case *array.Float64Builder:
		b.Append(v.number(random))
	case *array.BooleanBuilder:
		b.Append(random.IntN(2) == 1)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(random.Int64N(int64(60 * 365 * 24 * time.Hour / time.Microsecond))))
	case *array.BinaryDictionaryBuilder:
		text := ""
		if len(v.texts) > 0 {
			text = v.texts[random.IntN(len(v.texts))]
		} else {
			for range words {
				text += fmt.Sprintf("w%d ", random.IntN(1000))
			}
		}
		if err := b.AppendString(text); err != nil {
			b.AppendNull()
		}
	case *array.ListBuilder:
		b.Append(true)
		for range v.length {
			v.add(b.ValueBuilder(), random)
		}
	default:
		b.AppendNull()
	}
}
