package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// answerNames are the columns that hold what a model says, its number last
// among those that a row has.
var answerNames = []string{"prediction", "probability", "score"}

// originNames are the columns that say where a row came from and what scored
// it.
var originNames = func() []string {
	var names []string
	for _, c := range pipeline.OutputColumns("") {
		names = append(names, c.Name)
	}
	return names
}()

// outcome is what became of one event in one set.
type outcome struct {
	offset  int64
	version thalweg.ModelVersion
	dead    bool
	reason  string        // of a dead letter, its stage first
	bits    [3]uint64     // of answerNames, as far as there are any
	answer  any           // the prediction
	value   float64       // the probability or score
	event   func() string // the user's columns as JSON; valid as long as the outcome
}

// set is the scored rows and dead letters of one partition under one log.
type set struct {
	bucket  storage.Bucket
	log     *commitlog.Log
	topicID string
	reached int64  // end of the last slot that was read
	moved   *moved // rows of slots that a compaction has moved, being read; nil: none
}

func newSet(place storage.Place, m *Manifest, partition int) (*set, error) {
	log, err := commitlog.New(place.Bucket, commitlog.Config{Prefix: place.Prefix, Pipeline: m.Pipeline, Topic: m.Topic, Partition: partition})
	if err != nil {
		return nil, err
	}
	return &set{bucket: place.Bucket, log: log, topicID: m.TopicID}, nil
}

// outcomes yields what became of the events of [from, to), in the order of
// their offsets, as far as it is committed. An outcome is valid until the next.
// Memory is that of the objects of one slot.
func (s *set) outcomes(ctx context.Context, from, to int64) iter.Seq2[*outcome, error] {
	return func(yield func(*outcome, error) bool) {
		defer s.dropMoved()
		for e, err := range entries(ctx, s.log, s.topicID, from) {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Intent.From >= to {
				return
			}
			if s.reached = e.Intent.To; e.Intent.To <= from {
				continue
			}
			if more, err := s.slot(ctx, e, from, to, yield); err != nil || !more {
				if err != nil {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// slot yields the outcomes of one slot.
func (s *set) slot(ctx context.Context, e commitlog.Entry, from, to int64, yield func(*outcome, error) bool) (more bool, err error) {
	own, err := s.openAll(ctx, e)
	defer func() {
		for _, c := range own {
			c.close()
		}
	}()
	if err != nil {
		return false, err
	}
	open := own
	if s.moved != nil {
		open = slices.Concat(own, s.moved.cursors)
	}
	for {
		var first cursor
		for _, c := range open {
			if at := c.at(); at != nil && (first == nil || at.offset < first.at().offset) {
				first = c
			}
		}
		if first == nil || first.at().offset >= e.Intent.To {
			return true, nil
		}
		if at := first.at(); at.offset >= from && at.offset < to {
			if !yield(at, nil) {
				return false, nil
			}
		}
		if err := first.next(); err != nil && err != io.EOF {
			return false, err
		}
	}
}

// openAll opens what a slot left. Scored rows that a compaction has moved are
// in s.moved afterwards.
func (s *set) openAll(ctx context.Context, e commitlog.Entry) (open []cursor, err error) {
	if s.moved != nil && !s.moved.has(e.Intent.Seq) {
		s.dropMoved()
	}
	for _, o := range e.Done.Objects {
		if o.Kind == commitlog.Scored && s.moved != nil {
			continue
		}
		c, err := s.open(ctx, o)
		// Under the name of a file that was merged and deleted, a late one may be back.
		if o.Kind == commitlog.Scored && (thalweg.Is(err, thalweg.NotFound) || thalweg.Is(err, thalweg.Corrupt)) {
			if err = s.findMoved(ctx, e, err); err == nil {
				continue
			}
		}
		if err != nil {
			return open, err
		}
		open = append(open, c)
		if err := c.next(); err != nil && err != io.EOF {
			return open, err
		}
	}
	return open, nil
}

// moved is the objects of a compaction, which hold the scored rows of several
// slots.
type moved struct {
	slots   [2]uint64
	cursors []cursor
}

func (m *moved) has(seq uint64) bool { return m.slots[0] <= seq && seq < m.slots[1] }

func (s *set) dropMoved() {
	if s.moved != nil {
		for _, c := range s.moved.cursors {
			c.close()
		}
		s.moved = nil
	}
}

// findMoved opens the live objects that the rows of a slot were moved to.
func (s *set) findMoved(ctx context.Context, e commitlog.Entry, missing error) error {
	holder, ok, err := s.log.Moved(ctx, e.Intent.Seq)
	switch {
	case err != nil:
		return err
	case !ok && thalweg.Is(missing, thalweg.Corrupt):
		return missing
	case !ok:
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Lost, Subject: fmt.Sprintf("slot %d", e.Intent.Seq), Err: missing}
	}
	s.moved = &moved{slots: holder.Intent.Slots}
	for _, o := range holder.Done.Objects {
		c, err := s.open(ctx, o)
		if err != nil {
			return err
		}
		s.moved.cursors = append(s.moved.cursors, c)
		for { // rows of slots before this one
			if err := c.next(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if c.at().offset >= e.Intent.From {
				break
			}
		}
	}
	return nil
}

// cursor goes through one object in the order of offsets.
type cursor interface {
	at() *outcome // nil at the end
	next() error
	close()
}

// open reads an object and makes sure that its bytes are those that the log
// names.
func (s *set) open(ctx context.Context, o commitlog.Object) (cursor, error) {
	body, err := commitlog.ReadObject(ctx, s.bucket, o)
	if err != nil {
		return nil, err
	}
	if o.Kind == commitlog.Dead {
		letters, err := engine.ParseLetters(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
		return &deadLetterCursor{letters: letters}, nil
	}
	rows, err := engine.OpenRows(o.Key, body)
	if err != nil {
		return nil, err
	}
	return &rowCursor{key: o.Key, rows: rows, last: -1}, nil
}

// deadLetterCursor goes through dead letters.
type deadLetterCursor struct {
	letters []engine.DeadLetter
	current outcome
	valid   bool
}

func (c *deadLetterCursor) at() *outcome {
	if !c.valid {
		return nil
	}
	return &c.current
}

func (c *deadLetterCursor) next() error {
	c.valid = len(c.letters) > 0
	if !c.valid {
		return io.EOF
	}
	d := &c.letters[0]
	c.letters = c.letters[1:]
	c.current = outcome{offset: d.Offset, version: d.ModelVersion, dead: true, reason: d.Stage + ": " + d.Reason}
	return nil
}

func (c *deadLetterCursor) close() {}

// rowCursor goes through scored rows.
type rowCursor struct {
	key     string
	rows    *engine.RowReader
	batch   arrow.Record // nil: none read
	row     int
	last    int64
	offset  []int64
	version []int64
	answers [3]arrow.Array
	user    arrow.Record // the user's columns of batch
	current outcome
	valid   bool
}

func (c *rowCursor) at() *outcome {
	if !c.valid {
		return nil
	}
	return &c.current
}

func (c *rowCursor) next() error {
	c.valid = false
	c.row++
	for c.batch == nil || c.row >= int(c.batch.NumRows()) {
		c.drop()
		batch, err := c.rows.Next()
		if err != nil {
			return err
		}
		c.batch, c.row = batch, 0
		if err := c.columns(); err != nil {
			return err
		}
	}
	i := c.row
	if c.offset[i] <= c.last {
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Corrupt, Subject: c.key, Err: fmt.Errorf("offset %d comes after %d", c.offset[i], c.last)}
	}
	c.last = c.offset[i]
	c.current = outcome{offset: c.last, version: thalweg.ModelVersion(c.version[i]), event: func() string { return string(event.AppendJSON(nil, c.user, i)) }}
	for k, a := range c.answers {
		switch a := a.(type) {
		case *array.Boolean:
			c.current.answer = a.Value(i)
			if a.Value(i) {
				c.current.bits[k] = 1
			}
		case *array.Float64:
			v := a.Value(i)
			c.current.bits[k] = math.Float64bits(v)
			if c.current.value = v; k == 0 {
				c.current.answer = v
			}
		}
	}
	c.valid = true
	return nil
}

// columns finds the columns of a batch.
func (c *rowCursor) columns() error {
	c.answers = [3]arrow.Array{}
	c.offset, c.version = nil, nil
	var fields []arrow.Field
	var user []arrow.Array
	for i, f := range c.batch.Schema().Fields() {
		a := c.batch.Column(i)
		switch k := slices.Index(answerNames, f.Name); {
		case k >= 0:
			c.answers[k] = a
		case f.Name == "_offset" || f.Name == "_model_version":
			n, ok := a.(*array.Int64)
			if !ok {
				break
			}
			if f.Name == "_offset" {
				c.offset = n.Int64Values()
			} else {
				c.version = n.Int64Values()
			}
		case f.Name != table.RowColumn && !slices.Contains(originNames, f.Name):
			fields, user = append(fields, f), append(user, a)
		}
	}
	if c.offset == nil || c.version == nil || c.answers[0] == nil {
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Corrupt, Subject: c.key, Err: errors.New("it lacks the columns of a scored row")}
	}
	c.user = array.NewRecord(arrow.NewSchema(fields, nil), user, c.batch.NumRows())
	return nil
}

func (c *rowCursor) drop() {
	if c.user != nil {
		c.user.Release()
		c.user = nil
	}
	if c.batch != nil {
		c.batch.Release()
		c.batch = nil
	}
}

func (c *rowCursor) close() {
	c.drop()
	_ = c.rows.Close() // it was only read
}
