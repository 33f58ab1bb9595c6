package replay

import (
	"context"
	"fmt"
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
		seq, ok, err := s.log.Find(ctx, s.topicID, from)
		if err != nil {
			yield(nil, err)
		}
		if err != nil || !ok {
			return
		}
		for e, err := range s.log.Read(ctx, seq) {
			in, more := e.Intent, false
			switch {
			case err != nil:
			case in.Action != commitlog.Score:
				continue
			case s.topicID != "" && in.TopicID != "" && in.TopicID != s.topicID:
				return // the topic was made anew
			case in.From >= to:
				return
			default:
				if s.reached = in.To; in.To <= from {
					continue
				}
				more, err = s.slot(ctx, e, from, to, yield)
			}
			if err != nil {
				yield(nil, err)
			}
			if !more || err != nil {
				return
			}
		}
	}
}

func (s *set) slot(ctx context.Context, e commitlog.Entry, from, to int64, yield func(*outcome, error) bool) (more bool, err error) {
	own, err := s.openAll(ctx, e)
	defer stopAll(own)
	if err != nil {
		return false, err
	}
	open := own
	if s.moved != nil {
		open = slices.Concat(own, s.moved.cursors)
	}
	for {
		var first *cursor
		for _, c := range open {
			if first == nil || c.offset() < first.offset() {
				first = c
			}
		}
		if first == nil || first.offset() >= e.Intent.To {
			return true, nil
		}
		if at := first.offset(); at >= from && at < to && !yield(first.current, nil) {
			return false, nil
		}
		if err := first.advance(); err != nil {
			return false, err
		}
	}
}

// openAll opens what a slot left. Scored rows that a compaction has moved are
// in s.moved afterwards.
func (s *set) openAll(ctx context.Context, e commitlog.Entry) (open []*cursor, err error) {
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
	}
	return open, nil
}

// moved is the objects of a compaction, which hold the scored rows of several
// slots.
type moved struct {
	slots   [2]uint64
	cursors []*cursor
}

func (m *moved) has(seq uint64) bool { return m.slots[0] <= seq && seq < m.slots[1] }

func (s *set) dropMoved() {
	if s.moved != nil {
		stopAll(s.moved.cursors)
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
		for c.offset() < e.Intent.From { // rows of slots before this one
			if err := c.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cursor is a position in outcomes that come in the order of offsets.
type cursor struct {
	current *outcome // nil: at the end
	next    func() (*outcome, error, bool)
	stop    func()
}

// newCursor returns a cursor at the first outcome. It is to be stopped.
func newCursor(outcomes iter.Seq2[*outcome, error]) (*cursor, error) {
	c := new(cursor)
	c.next, c.stop = iter.Pull2(outcomes)
	if err := c.advance(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cursor) advance() (err error) {
	c.current, err, _ = c.next() // nothing at the end
	return err
}

// offset returns that of the current outcome, beyond all offsets at the end.
func (c *cursor) offset() int64 {
	if c.current == nil {
		return math.MaxInt64
	}
	return c.current.offset
}

func stopAll(cursors []*cursor) {
	for _, c := range cursors {
		c.stop()
	}
}

// open reads an object and makes sure that its bytes are those that the log
// names.
func (s *set) open(ctx context.Context, o commitlog.Object) (*cursor, error) {
	body, err := commitlog.ReadObject(ctx, s.bucket, o)
	if err != nil {
		return nil, err
	}
	return newCursor(func(yield func(*outcome, error) bool) {
		each := eachRow
		if o.Kind == commitlog.Dead {
			each = eachDeadLetter
		}
		if err := each(o.Key, body, func(at *outcome) bool { return yield(at, nil) }); err != nil {
			yield(nil, err)
		}
	})
}

// eachDeadLetter calls yield with the dead letters of an object until it returns
// false.
func eachDeadLetter(key string, body []byte, yield func(*outcome) bool) error {
	for d, err := range engine.DeadLetters(body) {
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if !yield(&outcome{offset: d.Offset, version: d.ModelVersion, dead: true, reason: d.Stage + ": " + d.Reason}) {
			return nil
		}
	}
	return nil
}

// eachRow calls yield with the scored rows of an object until it returns false.
func eachRow(key string, body []byte, yield func(*outcome) bool) error {
	last := int64(-1)
	for batch, err := range engine.ReadRows(key, body) {
		if err != nil {
			return err
		}
		if more, err := eachIn(key, batch.Rows, &last, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// eachIn calls yield with the rows of a batch, which follow the offset last, and
// returns false once it does.
func eachIn(key string, batch arrow.Record, last *int64, yield func(*outcome) bool) (more bool, err error) {
	corrupt := func(format string, args ...any) error {
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Corrupt, Subject: key, Err: fmt.Errorf(format, args...)}
	}
	var offsets, versions []int64
	var answers [3]arrow.Array
	var fields []arrow.Field
	var columns []arrow.Array // the user's
	for i, f := range batch.Schema().Fields() {
		a := batch.Column(i)
		n, _ := a.(*array.Int64)
		switch k := slices.Index(answerNames, f.Name); {
		case k >= 0:
			answers[k] = a
		case f.Name == "_offset" && n != nil:
			offsets = n.Int64Values()
		case f.Name == "_model_version" && n != nil:
			versions = n.Int64Values()
		case f.Name != table.RowColumn && !slices.Contains(originNames, f.Name):
			fields, columns = append(fields, f), append(columns, a)
		}
	}
	if offsets == nil || versions == nil || answers[0] == nil {
		return false, corrupt("it lacks the columns of a scored row")
	}
	user := array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows())
	defer user.Release()
	for i, offset := range offsets {
		if offset <= *last {
			return false, corrupt("offset %d comes after %d", offset, *last)
		}
		*last = offset
		o := outcome{offset: offset, version: thalweg.ModelVersion(versions[i]), event: func() string { return string(event.AppendJSON(nil, user, i)) }}
		for k, a := range answers {
			switch a := a.(type) {
			case *array.Boolean:
				o.answer = a.Value(i)
				if a.Value(i) {
					o.bits[k] = 1
				}
			case *array.Float64:
				v := a.Value(i)
				o.bits[k] = math.Float64bits(v)
				if o.value = v; k == 0 {
					o.answer = v
				}
			}
		}
		if !yield(&o) {
			return false, nil
		}
	}
	return true, nil
}
