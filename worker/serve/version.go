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
	inputs  table.Schema    // of rows that clients ask about, as they write them
	named   map[string]bool // the columns of inputs
	answers *answerColumns
	batcher *batcher
}

// NewVersion makes a version ready to answer with scorers of its own.
func NewVersion(m engine.Model, generation thalweg.Generation, a *artifact.Artifact, cfg engine.Config, limits Limits, metrics *Metrics, pipeline string) (*Version, error) {
	v := &Version{Model: m, inputs: inputsOf(a), named: make(map[string]bool)}
	for _, c := range v.inputs.Columns {
		v.named[c.Name] = true
	}
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

// score answers for rows. They must not change until it returns without an error, or ever if
// it returns one. They are not scored after until.
func (v *Version) score(ctx context.Context, until time.Time, of rows) (*Answer, error) {
	most := v.batcher.limits.MaxBatch
	if of.len() <= most {
		c := newCall(ctx, until, of)
		return &c.answer, v.batcher.ask(c)
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
	for of.len() > 0 {
		if err := finish(1); err != nil {
			return nil, err
		}
		c := newCall(ctx, until, of.cut(min(most, of.len())))
		if err := v.batcher.add(c); err != nil {
			return nil, err
		}
		calls = append(calls, c)
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
	arms     *arms // of a rollout; nil: there is none

	values  []byte
	ends    []int
	offsets []int64
}

// maxKeptBytes is what a scorer keeps of the memory of a batch for the next one.
const maxKeptBytes = 4 << 20

// score implements scorer. Rows of JSON are scored together, those of each record by
// themselves: who sends records sends many.
func (s *rowScorer) score(calls []*call) {
	texts := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return c.record != nil })
	if len(texts) > 0 {
		rows := s.joined(texts)
		s.answer(texts, len(rows.ends), func(yield func(arrow.Record) error) ([]engine.Reject, error) {
			all := event.Events{Values: rows.values, Ends: rows.ends, Offsets: s.numbers(len(rows.ends))}
			if s.arms != nil {
				return s.arms.score(all, s, yield)
			}
			return s.scorer.Score(context.Background(), all, s.origin, yield)
		})
	}
	for _, c := range calls {
		if c.record != nil {
			s.answer([]*call{c}, c.len(), func(yield func(arrow.Record) error) ([]engine.Reject, error) {
				if s.arms != nil {
					return s.arms.scoreRows(c.record, s.numbers(c.len()), s, yield)
				}
				return s.scorer.ScoreRows(context.Background(), c.record, s.numbers(c.len()), s.origin, yield)
			})
		}
	}
}

// joined returns the rows of calls, end to end.
func (s *rowScorer) joined(calls []*call) rows {
	if len(calls) == 1 && calls[0].start == 0 {
		return calls[0].rows
	}
	s.values, s.ends = s.values[:0], s.ends[:0]
	for _, c := range calls {
		for _, end := range c.ends {
			s.ends = append(s.ends, len(s.values)+end-c.start)
		}
		s.values = append(s.values, c.values[c.start:c.start+c.bytes()]...)
	}
	all := rows{values: s.values, ends: s.ends}
	if cap(s.values) > maxKeptBytes {
		s.values = nil
	}
	return all
}

// guarded calls fn, and has a panic be its error: one client's rows take neither a worker nor
// the requests of others with them.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return fn()
}

// numbers returns those of n rows, from 0.
func (s *rowScorer) numbers(n int) []int64 {
	for i := len(s.offsets); i < n; i++ {
		s.offsets = append(s.offsets, int64(i))
	}
	return s.offsets[:n]
}

// answer scores n rows, and gives each of the calls that they are of its part.
func (s *rowScorer) answer(calls []*call, n int, score func(yield func(arrow.Record) error) ([]engine.Reject, error)) {
	at := make([]place, n)
	found := 0
	tell := func(row int64, where place) {
		at[row] = where
		found++
	}
	var records []arrow.Record
	var rejects []engine.Reject
	s.origin.ScoredAt = time.Now().UnixMicro()
	err := guarded(func() (err error) {
		rejects, err = score(func(rec arrow.Record) error {
			answers, rows := s.of.answers.take(rec)
			for i, row := range rows {
				tell(row, place{int32(len(records)), int32(i)})
			}
			records = append(records, answers)
			return nil
		})
		for i, r := range rejects {
			tell(r.Offset, place{-1, int32(i)})
		}
		if err == nil && found != n {
			err = fmt.Errorf("%d answers to %d rows", found, n)
		}
		return err
	})
	s.metrics.batch(s.pipeline, n, len(rejects), err)
	from := 0
	for _, c := range calls {
		if err != nil {
			c.err = fmt.Errorf("score with %s: %w", s.of.Model, err)
			continue
		}
		to := from + c.len()
		c.answer = Answer{records: records, rejects: rejects, at: at[from:to:to]}
		from = to
	}
}
