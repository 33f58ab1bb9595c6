// Package fault provides a source that wraps another and lets chosen
// operations go wrong from a seeded plan: brokers that do not answer, answers
// that are slow, cut off, damaged, stale, or contain what was read before. The
// errors it makes carry the plan's seed, with which a failure is run again.
package fault

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/retry"
)

// delay is how long a slow answer takes.
const delay = 200 * time.Millisecond

// maxDuplicates is the most records from before the offset that an answer has.
const maxDuplicates = 5

// Source lets operations of an inner source go wrong.
type Source struct {
	inner connectors.Source
	plan  Plan
	mu    struct {
		sync.Mutex
		calls    map[call]*history
		topic    *connectors.Topic // as last told
		bounds   map[int][2]int64  // by partition, as last told
		late     map[int]int64     // by partition: a group offset on its way
		injected map[Fault]int
	}
}

// call tells the operations on one partition apart.
type call struct {
	op        Op
	partition int
}

type history struct {
	calls  int
	failed []int // per rule
}

var _ connectors.Source = (*Source)(nil)

// New returns inner with the plan's faults.
func New(inner connectors.Source, plan Plan) *Source {
	s := &Source{inner: inner, plan: plan}
	s.mu.calls, s.mu.bounds, s.mu.late, s.mu.injected = map[call]*history{}, map[int][2]int64{}, map[int]int64{}, map[Fault]int{}
	return s
}

// Injected returns how often each fault has hit.
func (s *Source) Injected() map[Fault]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.mu.injected)
}

// Close implements connectors.Source.
func (s *Source) Close() error { return s.inner.Close() }

// Topic implements connectors.Source.
func (s *Source) Topic(ctx context.Context) (connectors.Topic, error) {
	f, _, err := s.next(ctx, Topic, -1)
	if err != nil {
		return connectors.Topic{}, err
	}
	s.mu.Lock()
	last := s.mu.topic
	s.mu.Unlock()
	if f == Stale && last != nil {
		return *last, nil
	}
	topic, err := s.inner.Topic(ctx)
	if err == nil {
		s.mu.Lock()
		s.mu.topic = &topic
		s.mu.Unlock()
	}
	return topic, err
}

// Bounds implements connectors.Source.
func (s *Source) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	f, _, err := s.next(ctx, Bounds, partition)
	if err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	last, told := s.mu.bounds[partition]
	s.mu.Unlock()
	if f == Stale && told {
		return last[0], last[1], nil
	}
	first, next, err = s.inner.Bounds(ctx, partition)
	if err == nil {
		s.mu.Lock()
		s.mu.bounds[partition] = [2]int64{first, next}
		s.mu.Unlock()
	}
	return first, next, err
}

// Fetch implements connectors.Source.
func (s *Source) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	f, bits, err := s.next(ctx, Fetch, partition)
	if err != nil {
		return err
	}
	switch f {
	case Flipped:
		return s.failure(Fetch, thalweg.Corrupt)
	case Duplicate:
		first, _, err := s.inner.Bounds(ctx, partition)
		if err != nil {
			return err
		}
		// What lies before the offset may be gone from the topic; then this is a
		// good answer. Where the offset itself is gone, the topic says so.
		offset = min(offset, max(first, offset-1-int64(bits%maxDuplicates), 0))
	}
	if err := s.inner.Fetch(ctx, partition, offset, maxWait, maxBytes, dst); err != nil || f != Truncated || dst.Len() == 0 {
		return err
	}
	whole := *dst
	kept := int(bits % uint64(dst.Len()))
	*dst = connectors.Records{Want: whole.Want, TopicID: whole.TopicID, Next: offset, End: whole.End}
	if kept > 0 {
		dst.AppendRecords(&whole, 0, kept)
		dst.Next = whole.Offsets[kept-1] + 1
	}
	return nil
}

// Commit implements connectors.Source.
func (s *Source) Commit(ctx context.Context, partition int, next int64) error {
	f, _, err := s.next(ctx, Commit, partition)
	if err != nil {
		return err
	}
	if f == Late {
		s.mu.Lock()
		s.mu.late[partition] = next
		s.mu.Unlock()
		return s.failure(Commit, thalweg.Unavailable)
	}
	if err := s.inner.Commit(ctx, partition, next); err != nil {
		return err
	}
	s.mu.Lock()
	late, waiting := s.mu.late[partition]
	delete(s.mu.late, partition)
	s.mu.Unlock()
	if waiting {
		_ = s.inner.Commit(ctx, partition, late) // nobody is left to be told
	}
	if f == LostReply {
		return s.failure(Commit, thalweg.Unavailable)
	}
	return nil
}

// next returns what happens to this call: a fault and random bits for its
// details, or an error where that is the fault.
func (s *Source) next(ctx context.Context, op Op, partition int) (Fault, uint64, error) {
	s.mu.Lock()
	h := s.mu.calls[call{op, partition}]
	if h == nil {
		h = &history{failed: make([]int, len(s.plan.Rules))}
		s.mu.calls[call{op, partition}] = h
	}
	f, bits := s.plan.decide(op, partition, h.calls, h.failed)
	h.calls++
	if f != 0 {
		s.mu.injected[f]++
	}
	s.mu.Unlock()
	switch f {
	case Unavailable:
		return f, bits, s.failure(op, thalweg.Unavailable)
	case Slow:
		if err := retry.Sleep(ctx, delay); err != nil {
			return f, bits, &thalweg.Error{Op: op.String(), Kind: thalweg.Canceled, Err: err}
		}
	}
	return f, bits, nil
}

func (s *Source) failure(op Op, kind thalweg.Kind) error {
	return &thalweg.Error{Op: op.String(), Kind: kind, Err: fmt.Errorf("injected, seed %d", s.plan.Seed)}
}
