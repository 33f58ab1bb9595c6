package serve

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Version is a model version that is loaded and answers. A request is answered by one
// version, however many micro-batches it takes.
type Version struct {
	Model   engine.Model
	inputs  table.Schema // of rows that clients ask about, as they write them
	answers *answerColumns
	batcher *batcher
}

// NewVersion makes a version ready to answer with scorers of its own.
func NewVersion(m engine.Model, generation thalweg.Generation, a *artifact.Artifact, cfg engine.Config, limits Limits, metrics *Metrics, pipeline string) (*Version, error) {
	v := &Version{Model: m, inputs: inputsOf(a)}
	limits = limits.withDefaults()
	var scorers []scorer
	for range limits.Scorers {
		s, err := engine.NewRequestScorer(m, a, cfg)
		if err != nil {
			return nil, err
		}
		if v.answers == nil {
			v.answers = answerColumnsOf(s)
		}
		scorers = append(scorers, &rowScorer{of: v, scorer: s, origin: artifact.Origin{Version: m.Version, Generation: generation}, metrics: metrics, pipeline: pipeline})
	}
	v.batcher = newBatcher(limits, scorers)
	return v, nil
}

// inputsOf are the columns that a row can have, in the types that clients write.
func inputsOf(a *artifact.Artifact) table.Schema {
	in := a.RequestColumns()
	in.Columns = slices.DeleteFunc(in.Columns, func(c table.Column) bool { return c.TrainingOnly })
	for i, c := range in.Columns {
		in.Columns[i] = c.AtSource()
	}
	return in
}

// Score answers for rows, JSON objects that lie end to end. The rows must not change until it
// returns without an error, or ever if it returns one.
func (v *Version) Score(ctx context.Context, values []byte, ends []int) (*Answer, error) {
	most := v.batcher.limits.MaxBatch
	if len(ends) <= most {
		c := newCall(ctx, values, ends)
		if err := v.batcher.add(c); err != nil {
			return nil, err
		}
		return &c.answer, c.wait()
	}
	// Two micro-batches at a time: one is scored while the next one waits.
	whole, calls := new(Answer), make([]*call, 0, 2)
	finish := func(left int) error {
		for len(calls) > left {
			if err := calls[0].wait(); err != nil {
				return err
			}
			whole.add(&calls[0].answer)
			calls = slices.Delete(calls, 0, 1)
		}
		return nil
	}
	for start := 0; len(ends) > 0; {
		n := min(most, len(ends))
		end := ends[n-1]
		part := make([]int, n)
		for i, e := range ends[:n] {
			part[i] = e - start
		}
		if err := finish(1); err != nil {
			return nil, err
		}
		c := newCall(ctx, values[start:end], part)
		if err := v.batcher.add(c); err != nil {
			return nil, err
		}
		calls = append(calls, c)
		start, ends = end, ends[n:]
	}
	return whole, finish(0)
}

// rowScorer scores the micro-batches of a version.
type rowScorer struct {
	of       *Version
	scorer   *engine.RequestScorer
	origin   artifact.Origin
	metrics  *Metrics
	pipeline string

	values  []byte
	ends    []int
	offsets []int64
}

// maxKeptBytes is what a scorer keeps of the memory of a batch for the next one.
const maxKeptBytes = 4 << 20

// score implements scorer.
func (s *rowScorer) score(calls []*call) {
	values, ends := calls[0].values, calls[0].ends
	if len(calls) > 1 {
		s.values, s.ends = s.values[:0], s.ends[:0]
		for _, c := range calls {
			for _, end := range c.ends {
				s.ends = append(s.ends, len(s.values)+end)
			}
			s.values = append(s.values, c.values...)
		}
		values, ends = s.values, s.ends
	}
	for i := len(s.offsets); i < len(ends); i++ {
		s.offsets = append(s.offsets, int64(i))
	}
	began, at := time.Now(), make([]place, len(ends))
	var records []arrow.Record
	s.origin.ScoredAt = began.UnixMicro()
	rejects, err := s.scorer.Score(context.Background(), event.Events{Values: values, Ends: ends, Offsets: s.offsets[:len(ends)]}, s.origin, func(rec arrow.Record) error {
		answers, rows := s.of.answers.take(rec)
		for i, row := range rows {
			at[row] = place{int32(len(records)), int32(i)}
		}
		records = append(records, answers)
		return nil
	})
	for i, r := range rejects {
		at[r.Offset] = place{-1, int32(i)}
	}
	if cap(s.values) > maxKeptBytes {
		s.values = nil
	}
	s.metrics.batch(s.pipeline, len(ends), len(rejects), err)
	from := 0
	for _, c := range calls {
		if err != nil {
			c.err = fmt.Errorf("score with %s: %w", s.of.Model, err)
			continue
		}
		to := from + len(c.ends)
		c.answer = Answer{records: records, rejects: rejects, at: at[from:to:to]}
		from = to
	}
}
