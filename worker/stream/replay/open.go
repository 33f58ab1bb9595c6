package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
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

// Request is what a user wants replayed.
type Request struct {
	Pipeline   thalweg.PipelineName
	Generation thalweg.Generation
	Topic      string
	Model      engine.Candidate
	From, To   Bound
	Live       storage.Place // where the stream puts its rows
	Into       storage.Place // where the replay does
	// IntoConnection is that of Into, Taken are the places that pipelines and the
	// cluster have, and Connections tell which of them lead to one store.
	IntoConnection string
	Taken          []pipeline.Claim
	Connections    pipeline.Connections
	NowUS          int64 // microseconds since 1970 UTC
}

// Open pins a replay, or finds the one that an earlier call with the same
// request has pinned. Nothing is written before it is known that the topic has
// every offset. Errors: Lost naming the missing range, Conflict where Into is,
// lies in or around something else, Invalid where the bounds name no events.
func Open(ctx context.Context, source Source, req Request) (*Manifest, error) {
	into := pipeline.Claim{Use: pipeline.Rows, Kind: pipeline.StoreConnection, Connection: req.IntoConnection, Bucket: req.Into.Name, Key: req.Into.Prefix}
	for _, taken := range req.Taken {
		if why, hint := into.Conflict(taken, req.Connections); why != "" {
			return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Conflict, Subject: "--into", Err: errors.New(why), Hint: hint}
		}
	}
	if req.Into.Prefix == "" {
		return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: req.Into.String(), Hint: "give --into a prefix, not a whole bucket"}
	}
	want := Manifest{Pipeline: req.Pipeline, Generation: req.Generation, Topic: req.Topic, Candidate: req.Model, From: req.From.text, To: req.To.text,
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
		r, err := resolveOne(ctx, source, req, p)
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

// resolveOne says what the bounds mean of one partition, all of whose offsets
// between them the topic must have.
func resolveOne(ctx context.Context, source Source, req Request, partition int) (Range, error) {
	r := Range{Partition: partition}
	first, next, err := source.Bounds(ctx, partition)
	if err != nil {
		return r, err
	}
	committedFrom, committedTo := first, first
	if req.From.name == Committed || req.To.name == Committed {
		if committedFrom, committedTo, err = committed(ctx, req, partition, first); err != nil {
			return r, err
		}
	}
	offset := func(b Bound, committed int64) (int64, error) {
		switch {
		case b.name == Earliest:
			return first, nil
		case b.name == Latest:
			return next, nil
		case b.name == Committed:
			return committed, nil
		case b.offsets != nil:
			return b.offsets[partition], nil
		case b.offset >= 0:
			return b.offset, nil
		}
		return source.OffsetAt(ctx, partition, b.at)
	}
	if r.From, err = offset(req.From, committedFrom); err != nil {
		return r, err
	}
	if r.To, err = offset(req.To, committedTo); err != nil || r.From >= r.To {
		return r, err
	}
	subject := fmt.Sprintf("%s/%d", req.Topic, partition)
	if r.From < first {
		return r, &thalweg.Error{Op: "replay", Kind: thalweg.Lost, Subject: subject,
			Err:  &connectors.MissingRange{Topic: req.Topic, Partition: partition, From: r.From, To: min(first, r.To)},
			Hint: fmt.Sprintf("deleted by retention or by hand; the first offset kept is %d; nothing was written", first)}
	}
	if r.To > next {
		return r, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: subject,
			Err: fmt.Errorf("the topic ends at %d, before %d", next, r.To), Hint: "nothing was written; --to latest is what there is"}
	}
	return r, nil
}

// committed returns the offsets that the live stream has committed of a
// partition, the empty range at first if it has none. Of a topic that was made
// anew they are those since.
func committed(ctx context.Context, req Request, partition int, first int64) (from, to int64, err error) {
	log, err := commitlog.New(req.Live.Bucket, commitlog.Config{Prefix: req.Live.Prefix, Pipeline: req.Pipeline, Topic: req.Topic, Partition: partition})
	if err != nil {
		return first, first, err
	}
	state, err := log.Open(ctx)
	if err != nil || state.NextOffset < 0 {
		return first, first, err
	}
	seq, ok, err := log.Find(ctx, state.TopicID, 0)
	if err != nil || !ok {
		return first, first, err
	}
	e, err := log.Entry(ctx, seq)
	if e.Intent.Action == commitlog.Skip && e.Intent.To < e.Intent.From {
		return e.Intent.To, state.NextOffset, err // where the new topic begins
	}
	return e.Intent.From, state.NextOffset, err
}
