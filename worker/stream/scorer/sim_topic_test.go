package scorer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// simEvent is what the topic holds at an offset.
type simEvent uint8

const (
	simGood   simEvent = iota
	simPoison          // becomes a dead letter
	simGap             // a control record
)

// lastEvent returns the offset after the last record that is an event: what
// lies behind it is committed with the next event.
func (s *sim) lastEvent() int64 {
	for i := len(s.events) - 1; i >= 0; i-- {
		if s.events[i] != simGap {
			return int64(i) + 1
		}
	}
	return 0
}

func (s *sim) produce(n int) {
	for range n {
		kind := simGood
		switch s.rng.IntN(12) {
		case 0:
			kind = simPoison
		case 1:
			kind = simGap
		}
		s.events = append(s.events, kind)
	}
}

// simTopic is a topic that had the name before and is gone.
type simTopic struct {
	events []simEvent
	first  int64 // that was kept when it was deleted
}

// simTopicID returns the ID of the n-th topic of the name.
func simTopicID(n int) string { return fmt.Sprintf("%032x", n+1) }

// topicNumber is the inverse of simTopicID.
func topicNumber(id string) int {
	n, err := strconv.ParseInt(id, 16, 64)
	if err != nil {
		return -1
	}
	return int(n) - 1
}

// topics returns all topics that ever had the name, the one that has it now
// last.
func (s *sim) topics() []simTopic {
	return append(slices.Clone(s.past), simTopic{events: s.events, first: s.first})
}

// place tells the events of all topics apart by one number.
func (s *sim) place(topic int, offset int64) int64 { return int64(topic)<<32 | offset }

// loses reports whether the topic may lose anything: in half of the seeds, as
// a scorer that waits for an operator gets into no other difficulty.
func (s *sim) loses() bool { return s.seed%2 == 0 }

// retain lets the topic's first records go, be they claimed or not.
func (s *sim) retain(_ []*simOwner) {
	if left := int64(len(s.events)) - s.first; left > 0 && s.loses() {
		s.first += 1 + s.rng.Int64N(left)
	}
}

// retainClaimed lets records go up to somewhere within a claim that is not
// finished.
func (s *sim) retainClaimed(_ []*simOwner) {
	var in simIntent
	slot := uint64(0)
	for s.doneOf(slot) != "" {
		slot++
	}
	if !s.loses() || !s.record(slot, "intent", &in) || in.Action != "" || in.TopicID != simTopicID(len(s.past)) {
		return
	}
	s.first = max(s.first, in.From+1+s.rng.Int64N(in.To-in.From))
}

// remake deletes the topic and makes another of its name, with as many records
// or not.
func (s *sim) remake(_ []*simOwner) {
	if !s.loses() {
		return
	}
	before := len(s.events)
	s.past = append(s.past, simTopic{events: s.events, first: s.first})
	s.events, s.first = nil, 0
	switch s.rng.IntN(3) {
	case 0:
	case 1:
		s.produce(before)
	default:
		s.produce(before + 5)
	}
}

// simSource reads the sim's topic.
type simSource struct{ s *sim }

func (c simSource) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: simTopicID(len(c.s.past)), Partitions: 1}, nil
}
func (c simSource) Close() error { return nil }
func (c simSource) Bounds(context.Context, int) (first, next int64, err error) {
	return c.s.first, int64(len(c.s.events)), nil
}

func (c simSource) Commit(_ context.Context, _ int, next int64) error {
	c.s.group = next
	return nil
}

func (c simSource) Fetch(ctx context.Context, _ int, offset int64, _ time.Duration, _ int, dst *connectors.Records) error {
	dst.Reset()
	dst.Next = offset
	if ctx.Err() != nil {
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled, Err: ctx.Err()}
	}
	s, end := c.s, int64(len(c.s.events))
	lost := &connectors.MissingRange{Topic: "t", From: offset, First: s.first, Next: end}
	now := simTopicID(len(s.past))
	byName := s.wrong != nil && s.wrong.byName
	switch {
	case dst.TopicID != "" && dst.TopicID != now && !byName:
		lost.To, lost.Was, lost.Is = offset, dst.TopicID, now
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: lost}
	case offset < s.first:
		lost.To = s.first
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: lost}
	case offset > end:
		lost.From, lost.To = end, offset
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: lost}
	}
	for range 1 + c.s.rng.IntN(9) {
		if dst.Next >= int64(len(c.s.events)) {
			break
		}
		if kind := c.s.events[dst.Next]; kind != simGap {
			dst.Values = fmt.Appendf(dst.Values, "%d %d", kind, len(s.past))
			dst.Ends = append(dst.Ends, len(dst.Values))
			dst.Offsets = append(dst.Offsets, dst.Next)
			dst.Timestamps = append(dst.Timestamps, 1)
			if dst.Want&connectors.Keys != 0 {
				dst.KeyEnds, dst.NullKeys = append(dst.KeyEnds, 0), append(dst.NullKeys, true)
			}
		}
		dst.Next++
	}
	dst.End = int64(len(c.s.events))
	return nil
}
