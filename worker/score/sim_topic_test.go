package score

import (
	"context"
	"fmt"
	"strings"
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

// simSource reads the sim's topic.
type simSource struct{ s *sim }

func (c simSource) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: strings.Repeat("a", 32), Partitions: 1}, nil
}
func (c simSource) Close() error { return nil }
func (c simSource) Bounds(context.Context, int) (first, next int64, err error) {
	return 0, int64(len(c.s.events)), nil
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
	for range 1 + c.s.rng.IntN(9) {
		if dst.Next >= int64(len(c.s.events)) {
			break
		}
		if kind := c.s.events[dst.Next]; kind != simGap {
			dst.Values = fmt.Appendf(dst.Values, "%d", kind)
			dst.Ends = append(dst.Ends, len(dst.Values))
			dst.Offsets = append(dst.Offsets, dst.Next)
			dst.Timestamps = append(dst.Timestamps, 1)
		}
		dst.Next++
	}
	dst.End = int64(len(c.s.events))
	return nil
}
