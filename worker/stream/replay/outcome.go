package replay

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
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
var answerNames = [...]string{"prediction", "probability", "score", "probabilities", "quantiles"}

// outcome is what became of one event in one set.
type outcome struct {
	offset  int64
	version thalweg.ModelVersion
	dead    string                   // why it is a dead letter, the stage first; "" of a row
	bits    [len(answerNames)]uint64 // of answerNames, as far as there are any; of texts and lists a hash
	answer  any                      // the prediction
	value   float64                  // the probability or score
	batch   arrow.Record             // that holds the row; valid as long as the outcome
	row     int
}

// event returns the user's columns of a row as JSON.
func (o *outcome) event() string {
	if o.batch == nil {
		return ""
	}
	added := pipeline.OutputColumns("", true, pipeline.ExplanationColumns(pipeline.MaxExplained)...) // those that say where the row came from and what scored it
	var fields []arrow.Field
	var columns []arrow.Array
	for i, f := range o.batch.Schema().Fields() {
		if !slices.Contains(answerNames[:], f.Name) && !slices.ContainsFunc(added, func(c table.Column) bool { return c.Name == f.Name }) {
			fields, columns = append(fields, f), append(columns, o.batch.Column(i))
		}
	}
	user := array.NewRecord(arrow.NewSchema(fields, nil), columns, o.batch.NumRows())
	defer user.Release()
	return string(event.AppendJSON(nil, user, o.row))
}

// set is the scored rows and dead letters of one partition under one log.
type set struct {
	bucket  storage.Bucket
	log     *commitlog.Log
	topicID string
	part    Range
	reached int64     // end of the last slot that was read
	open    []*cursor // the objects that are being read
	moved   uint64    // of slots before it, scored rows that a compaction has moved are in open
}

// openSet returns a set and its first outcome of a range. The cursor is to be
// stopped.
func openSet(ctx context.Context, place storage.Place, m *Manifest, part Range) (*set, *cursor, error) {
	log, err := commitlog.New(place.Bucket, commitlog.Config{Prefix: place.Prefix, Pipeline: m.Pipeline, Topic: m.Topic, Partition: part.Partition})
	if err != nil {
		return nil, nil, err
	}
	s := &set{bucket: place.Bucket, log: log, topicID: m.TopicID, part: part}
	at, err := newCursor(s.outcomes(ctx))
	return s, at, err
}

// outcomes yields what became of the events of the range, in the order of
// their offsets, as far as it is committed. An outcome is valid until the next.
// Memory is that of the objects of one slot.
func (s *set) outcomes(ctx context.Context) iter.Seq2[*outcome, error] {
	return func(yield func(*outcome, error) bool) {
		defer s.stop(0)
		if err := s.read(ctx, func(o *outcome) bool { return yield(o, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// read calls yield until it returns false, which is no error.
func (s *set) read(ctx context.Context, yield func(*outcome) bool) error {
	seq, ok, err := s.log.Find(ctx, s.topicID, s.part.From)
	if err != nil || !ok {
		return err
	}
	for e, err := range s.log.Read(ctx, seq) {
		in := e.Intent
		switch {
		case err != nil:
			return err
		case in.Action != commitlog.Score:
			continue
		case s.topicID != "" && in.TopicID != "" && in.TopicID != s.topicID, in.From >= s.part.To:
			return nil // the topic was made anew, or the range ends
		}
		if s.reached = in.To; in.To <= s.part.From {
			continue
		}
		if more, err := s.slot(ctx, e, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *set) slot(ctx context.Context, e commitlog.Entry, yield func(*outcome) bool) (more bool, err error) {
	if err := s.openSlot(ctx, e); err != nil {
		return false, err
	}
	for len(s.open) > 0 {
		first := slices.MinFunc(s.open, func(a, b *cursor) int { return cmp.Compare(a.offset(), b.offset()) })
		at := first.offset()
		if at >= e.Intent.To {
			break
		}
		if at >= s.part.From && at < s.part.To && !yield(first.current) {
			return false, nil
		}
		if err := first.advance(); err != nil {
			return false, err
		}
	}
	s.open = slices.DeleteFunc(s.open, func(c *cursor) bool { return c.current == nil })
	return true, nil
}

// openSlot opens what a slot left, or the live objects that its scored rows were
// moved to.
func (s *set) openSlot(ctx context.Context, e commitlog.Entry) error {
	in := e.Intent
	if err := s.openObjects(ctx, e.Done.Objects, commitlog.Dead, in.From); err != nil || in.Seq < s.moved {
		return err
	}
	missing := s.openObjects(ctx, e.Done.Objects, commitlog.Scored, in.From)
	// Under the name of a file that was merged and deleted, a late one may be back.
	if !thalweg.Is(missing, thalweg.NotFound) && !thalweg.Is(missing, thalweg.Corrupt) {
		return missing
	}
	holder, ok, err := s.log.Moved(ctx, in.Seq)
	switch {
	case err != nil:
		return err
	case !ok && thalweg.Is(missing, thalweg.Corrupt):
		return missing
	case !ok:
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Lost, Subject: fmt.Sprintf("slot %d", in.Seq), Err: missing}
	}
	s.moved = holder.Intent.Slots[1]
	return s.openObjects(ctx, holder.Done.Objects, commitlog.Scored, in.From)
}

// openObjects opens the objects of a kind, whose bytes must be those that the log
// names, at the first outcome from an offset on. On an error none is open.
func (s *set) openObjects(ctx context.Context, objects []commitlog.Object, kind commitlog.ObjectKind, from int64) error {
	before := len(s.open)
	for _, o := range objects {
		if o.Kind != kind {
			continue
		}
		body, err := commitlog.ReadObject(ctx, s.bucket, o)
		var c *cursor
		if err == nil {
			c, err = newCursor(outcomesIn(o, body))
		}
		for err == nil && c.offset() < from {
			err = c.advance()
		}
		if err != nil {
			s.stop(before)
			return err
		}
		s.open = append(s.open, c)
	}
	return nil
}

// stop stops the cursors from one on.
func (s *set) stop(first int) {
	for _, c := range s.open[first:] {
		c.stop()
	}
	s.open = s.open[:first]
}

// cursor is a position in outcomes that come in the order of offsets.
type cursor struct {
	current *outcome // nil: at the end
	next    func() (*outcome, error, bool)
	stop    func()
}

// newCursor returns a cursor at the first outcome. It is to be stopped, unless it
// is at the end.
func newCursor(outcomes iter.Seq2[*outcome, error]) (*cursor, error) {
	c := new(cursor)
	c.next, c.stop = iter.Pull2(outcomes)
	return c, c.advance()
}

func (c *cursor) advance() (err error) {
	c.current, err, _ = c.next() // no outcome at the end
	if err != nil {
		c.stop()
	}
	return err
}

// offset returns that of the current outcome, beyond all offsets at the end.
func (c *cursor) offset() int64 {
	if c.current == nil {
		return math.MaxInt64
	}
	return c.current.offset
}

// outcomesIn yields the dead letters or the scored rows of an object.
func outcomesIn(o commitlog.Object, body []byte) iter.Seq2[*outcome, error] {
	return func(yield func(*outcome, error) bool) {
		if o.Kind == commitlog.Dead {
			for d, err := range engine.DeadLetters(body) {
				if err != nil {
					err = fmt.Errorf("%s: %w", o.Key, err)
				}
				if !yield(&outcome{offset: d.Offset, version: d.ModelVersion, dead: d.Stage + ": " + d.Reason}, err) || err != nil {
					return
				}
			}
			return
		}
		last := int64(-1)
		for batch, err := range engine.ReadRows(o.Key, body) {
			var rows []outcome
			if err == nil {
				rows, err = rowsOf(o.Key, batch.Rows, last)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range rows {
				if !yield(&rows[i], nil) {
					return
				}
				last = rows[i].offset
			}
		}
	}
}

// rowsOf returns the rows of a batch, which follow the offset last.
func rowsOf(key string, batch arrow.Record, last int64) ([]outcome, error) {
	corrupt := func(format string, args ...any) error {
		return &thalweg.Error{Op: "read rows", Kind: thalweg.Corrupt, Subject: key, Err: fmt.Errorf(format, args...)}
	}
	var offsets, versions []int64
	var answers [len(answerNames)]arrow.Array
	for i, f := range batch.Schema().Fields() {
		n, _ := batch.Column(i).(*array.Int64)
		switch k := slices.Index(answerNames[:], f.Name); {
		case k >= 0:
			answers[k] = batch.Column(i)
		case f.Name == "_offset" && n != nil:
			offsets = n.Int64Values()
		case f.Name == "_model_version" && n != nil:
			versions = n.Int64Values()
		}
	}
	if offsets == nil || versions == nil || answers[0] == nil {
		return nil, corrupt("it lacks the columns of a scored row")
	}
	rows := make([]outcome, len(offsets))
	for i, offset := range offsets {
		if offset <= last {
			return nil, corrupt("offset %d comes after %d", offset, last)
		}
		last = offset
		o := &rows[i]
		*o = outcome{offset: offset, version: thalweg.ModelVersion(versions[i]), batch: batch, row: i}
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
			case *array.Dictionary:
				o.answer = a.ValueStr(i)
				hash := fnv.New64a()
				hash.Write([]byte(a.ValueStr(i)))
				o.bits[k] = hash.Sum64()
			case *array.List:
				values, ok := a.ListValues().(*array.Float64)
				if !ok {
					return nil, corrupt("%s holds lists of %s", answerNames[k], a.ListValues().DataType())
				}
				hash := fnv.New64a()
				from, to := a.ValueOffsets(i)
				_, _ = fmt.Fprint(hash, values.Float64Values()[from:to])
				o.bits[k] = hash.Sum64()
			}
		}
	}
	return rows, nil
}
