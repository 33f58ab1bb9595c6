package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Source is a topic that can be replayed by time.
type Source interface {
	connectors.Source
	// OffsetAt returns the offset of the first record at or after a time, and the
	// next offset to be produced if there is none.
	OffsetAt(ctx context.Context, partition int, at time.Time) (int64, error)
}

// overlap reports whether one place lies inside of the other. Buckets of the
// same name are taken for one, whatever connection they are reached by.
func overlap(p, o storage.Place) bool {
	return p.Name == o.Name && (strings.HasPrefix(p.Prefix, o.Prefix) || strings.HasPrefix(o.Prefix, p.Prefix))
}

// Request is what a user wants replayed.
type Request struct {
	Pipeline   thalweg.PipelineName
	Generation thalweg.Generation
	Topic      string
	Model      engine.Candidate
	From, To   Bound
	Live       storage.Place   // where the stream puts its rows
	Into       storage.Place   // where the replay does
	Others     []storage.Place // sinks of other streams
	NowUS      int64           // microseconds since 1970 UTC
}

// Open pins a replay, or finds the one that an earlier call with the same
// request has pinned. Nothing is written before it is known that the topic has
// every offset. Errors: Lost naming the missing range, Conflict where Into is,
// lies in or around something else, Invalid where the bounds name no events.
func Open(ctx context.Context, source Source, req Request) (*Manifest, error) {
	for _, sink := range append([]storage.Place{req.Live}, req.Others...) {
		if overlap(req.Into, sink) {
			return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Conflict, Subject: req.Into.String(),
				Err: fmt.Errorf("it lies in or around %s, where a stream puts its rows", sink), Hint: "give --into a prefix of its own"}
		}
	}
	if req.Into.Prefix == "" {
		return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: req.Into.String(), Hint: "give --into a prefix, not a whole bucket"}
	}
	want := Manifest{Pipeline: req.Pipeline, Generation: req.Generation, Topic: req.Topic, Model: req.Model.Name, Version: req.Model.Version,
		Checkpoint: req.Model.Checkpoint, RegisteredAtUS: req.Model.RegisteredAtUS, From: req.From.String(), To: req.To.String(),
		Live: req.Live.String(), BegunAtUS: max(req.NowUS, req.Model.RegisteredAtUS)}
	named, err := source.Topic(ctx)
	if err != nil {
		return nil, err
	}
	want.TopicID = named.ID
	return pin(ctx, req.Into.Bucket, req.Into.Prefix, want, func() ([]Range, error) { return resolve(ctx, source, req, named.Partitions) })
}

// resolve says what the bounds mean now, partition by partition; those without
// an event are left out.
func resolve(ctx context.Context, source Source, req Request, n int) ([]Range, error) {
	partitions, err := chosen(req.From, req.To, n)
	if err != nil {
		return nil, err
	}
	var ranges []Range
	for _, p := range partitions {
		s := &span{source: source, req: req, partition: p}
		r, err := s.resolve(ctx)
		if err != nil {
			return nil, err
		}
		if r.From < r.To {
			ranges = append(ranges, r)
		}
	}
	if len(ranges) == 0 {
		return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%s from %s to %s", req.Topic, req.From, req.To),
			Hint: "there is no event between the bounds"}
	}
	return ranges, nil
}

// span is one partition whose bounds are being resolved.
type span struct {
	source      Source
	req         Request
	partition   int
	first, next int64 // that the topic has
}

func (s *span) resolve(ctx context.Context) (Range, error) {
	var err error
	r := Range{Partition: s.partition}
	if s.first, s.next, err = s.source.Bounds(ctx, s.partition); err != nil {
		return r, err
	}
	committedFrom, committedTo := s.first, s.first
	if s.req.From.name == Committed || s.req.To.name == Committed {
		if committedFrom, committedTo, err = committed(ctx, s.req, s.partition); err != nil {
			return r, err
		}
		if committedFrom < 0 { // the live stream has committed nothing here
			committedFrom, committedTo = s.first, s.first
		}
	}
	if r.From, err = s.of(ctx, s.req.From, committedFrom); err != nil {
		return r, err
	}
	if r.To, err = s.of(ctx, s.req.To, committedTo); err != nil {
		return r, err
	}
	if r.From >= r.To {
		return r, nil
	}
	subject := fmt.Sprintf("%s/%d", s.req.Topic, s.partition)
	if r.From < s.first {
		return r, &thalweg.Error{Op: "replay", Kind: thalweg.Lost, Subject: subject,
			Err:  &connectors.MissingRange{Topic: s.req.Topic, Partition: s.partition, From: r.From, To: min(s.first, r.To)},
			Hint: fmt.Sprintf("deleted by retention or by hand; the first offset kept is %d; nothing was written", s.first)}
	}
	if r.To > s.next {
		return r, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: subject,
			Err: fmt.Errorf("the topic ends at %d, before %d", s.next, r.To), Hint: "nothing was written; --to latest is what there is"}
	}
	return r, nil
}

// of returns the offset that a bound means.
func (s *span) of(ctx context.Context, b Bound, committed int64) (int64, error) {
	switch {
	case b.name == Earliest:
		return s.first, nil
	case b.name == Latest:
		return s.next, nil
	case b.name == Committed:
		return committed, nil
	case b.offsets != nil:
		return b.offsets[s.partition], nil
	case b.offset >= 0:
		return b.offset, nil
	}
	return s.source.OffsetAt(ctx, s.partition, b.at)
}

// committed returns the offsets that the live stream has committed of a
// partition, -1 if it has none. Of a topic that was made anew they are those
// since.
func committed(ctx context.Context, req Request, partition int) (from, to int64, err error) {
	log, err := commitlog.New(req.Live.Bucket, commitlog.Config{Prefix: req.Live.Prefix, Pipeline: req.Pipeline, Topic: req.Topic, Partition: partition})
	if err != nil {
		return 0, 0, err
	}
	state, err := log.Open(ctx)
	if err != nil || state.NextOffset < 0 {
		return -1, -1, err
	}
	seq, ok, err := log.Find(ctx, state.TopicID, 0)
	if err != nil || !ok {
		return -1, -1, err
	}
	e, err := log.Entry(ctx, seq)
	if err != nil {
		return -1, -1, err
	}
	if e.Intent.Action == commitlog.Skip && e.Intent.To < e.Intent.From {
		return e.Intent.To, state.NextOffset, nil // where the new topic begins
	}
	return e.Intent.From, state.NextOffset, nil
}
