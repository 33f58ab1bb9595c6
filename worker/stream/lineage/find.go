package lineage

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Query names an event of a topic.
type Query struct {
	Pipeline  thalweg.PipelineName
	Topic     string
	TopicID   string // which topic of that name; empty: the newest
	Partition int
	Offset    int64
}

func (q Query) String() string { return fmt.Sprintf("%s/%d offset %d", q.Topic, q.Partition, q.Offset) }

// found is what a log has of an event.
type found struct {
	entry  commitlog.Entry
	object commitlog.Object
	holder uint64 // the slot that the object belongs to
	index  int64
	row    []Cell             // of a scored row
	letter *engine.DeadLetter // of a dead letter
}

// finder looks for one event.
type finder struct {
	place storage.Place
	query Query
}

func (f *finder) log(replay bool) (*commitlog.Log, error) {
	q := f.query
	return commitlog.New(f.place.Bucket, commitlog.Config{Prefix: f.place.Prefix, Pipeline: q.Pipeline, Topic: q.Topic, Partition: q.Partition, Replay: replay})
}

// main finds the event in the main log.
func (f *finder) main(ctx context.Context) (*found, error) {
	log, err := f.log(false)
	if err != nil {
		return nil, err
	}
	notFound := func(format string, args ...any) *thalweg.Error {
		return &thalweg.Error{Op: "find row", Kind: thalweg.NotFound, Subject: f.query.String(), Err: fmt.Errorf(format, args...)}
	}
	seq, ok, err := log.Find(ctx, f.query.TopicID, f.query.Offset)
	if err != nil {
		return nil, err
	}
	if !ok {
		state, err := log.Open(ctx)
		if err != nil {
			return nil, err
		}
		if state.NextOffset < 0 {
			return nil, notFound("nothing of the partition is committed")
		}
		absent := notFound("it is not committed: the log has reached offset %d of topic %s", state.NextOffset, state.TopicID)
		if f.query.TopicID == "" {
			absent.Hint = "if the topic was made anew, --topic-id names the one before"
		}
		return nil, absent
	}
	e, err := log.Entry(ctx, seq)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, notFound("it is not committed: slot %d, which claims it, is being carried out", seq)
	}
	if err != nil {
		return nil, err
	}
	switch in := e.Intent; {
	case in.Action == commitlog.Skip:
		return nil, notFound("slot %d gave offsets [%d, %d) up, as an operator authorized", seq, in.Missing[0], in.Missing[1])
	case f.query.Offset < in.From:
		return nil, notFound("the log begins at offset %d", in.From)
	}
	for _, g := range e.Done.Gaps {
		if g[0] <= f.query.Offset && f.query.Offset < g[1] {
			return nil, notFound("the topic has no event there: a control record, or one that was aborted or compacted away")
		}
	}
	hit, err := f.in(ctx, e, e)
	// Under the name of a file that was merged and deleted, a late one may be back.
	if hit == nil && (err == nil || thalweg.Is(err, thalweg.NotFound) || thalweg.Is(err, thalweg.Corrupt)) {
		hit, err = f.moved(ctx, log, e, err)
	}
	if lost := e.Done.Lost; hit == nil && err == nil && f.query.Offset >= lost[0] && f.query.Offset < lost[1] {
		return nil, notFound("slot %d gave it up, as an operator authorized: the topic had lost offsets [%d, %d) before the slot was finished", seq, lost[0], lost[1])
	}
	if hit == nil && err == nil {
		err = notFound("slot %d has neither a row nor a dead letter of it", seq)
	}
	return hit, err
}

// moved finds the row where a compaction has moved it.
func (f *finder) moved(ctx context.Context, log *commitlog.Log, e commitlog.Entry, missing error) (*found, error) {
	holder, ok, err := log.Moved(ctx, e.Intent.Seq)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, missing
	}
	return f.in(ctx, e, holder)
}

// replayed finds the event, which is dead in a slot of the main log, in the
// replay log: its row, or nil if there is none.
func (f *finder) replayed(ctx context.Context, dead commitlog.Intent) (*found, error) {
	log, err := f.log(true)
	if err != nil {
		return nil, err
	}
	for e, err := range log.ReadBack(ctx) {
		if err != nil {
			return nil, err
		}
		in := e.Intent
		if f.query.Offset < in.From || f.query.Offset >= in.To || dead.Seq < in.Slots[0] || dead.Seq >= in.Slots[1] {
			continue
		}
		if hit, err := f.in(ctx, e, e); err != nil || hit != nil && hit.row != nil {
			return hit, err
		}
	}
	return nil, nil
}

// in looks for the event of slot e in the objects of holder.
func (f *finder) in(ctx context.Context, e, holder commitlog.Entry) (*found, error) {
	for _, o := range holder.Done.Objects {
		body, err := commitlog.ReadObject(ctx, f.place.Bucket, o)
		if err != nil {
			return nil, err
		}
		hit := &found{entry: e, object: o, holder: holder.Intent.Seq}
		if o.Kind == commitlog.Dead {
			letters, err := engine.ParseLetters(body)
			if err != nil {
				return nil, err
			}
			for i := range letters {
				if letters[i].Offset == f.query.Offset {
					hit.index, hit.letter = int64(i), &letters[i]
					return hit, nil
				}
			}
			continue
		}
		hit.row, hit.index, err = findRow(o.Key, body, f.query.Offset)
		if err != nil {
			return nil, err
		}
		if hit.row != nil {
			return hit, nil
		}
	}
	return nil, nil
}

// findRow returns the row of an offset and its index; nil if there is none.
func findRow(key string, body []byte, offset int64) ([]Cell, int64, error) {
	first := int64(0)
	for batch, err := range engine.ReadRows(key, body) {
		if err != nil {
			return nil, 0, err
		}
		offsets, err := system[*array.Int64](batch, key, "_offset")
		if err != nil {
			return nil, 0, err
		}
		if i := slices.Index(offsets.Int64Values(), offset); i >= 0 {
			row, err := cells(batch.Schema, batch.Rows, i)
			return row, first + int64(i), err
		}
		first += batch.Rows.NumRows()
	}
	return nil, 0, nil
}
