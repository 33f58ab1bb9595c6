package fault

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// maxDuplicates is the most records from before the offset that an answer has.
const maxDuplicates = 5

// Source makes operations of an inner source go wrong by a plan.
type Source struct {
	*source
	*Injector
}

// NewSource returns inner with the plan's faults.
func NewSource(inner connectors.Source, plan Plan) *Source {
	i := newInjector(plan)
	return &Source{newSource(inner, i), i}
}

// InterceptSource returns inner with its calls as by decides.
func InterceptSource(inner connectors.Source, by Interceptor) connectors.Source {
	return newSource(inner, by)
}

type source struct {
	connectors.Source
	by Interceptor
	mu struct {
		sync.Mutex
		topic  *connectors.Topic // as last told
		bounds map[int][2]int64  // by partition, as last told
	}
}

func newSource(inner connectors.Source, by Interceptor) *source {
	s := &source{Source: inner, by: by}
	s.mu.bounds = make(map[int][2]int64)
	return s
}

// Topic implements connectors.Source.
func (s *source) Topic(ctx context.Context) (topic connectors.Topic, err error) {
	err = s.by.Intercept(ctx, Call{Op: Topic, Make: func(ctx context.Context, hit Hit) (err error) {
		s.mu.Lock()
		last := s.mu.topic
		s.mu.Unlock()
		if hit.Fault == Stale && last != nil {
			topic = *last
			return nil
		}
		if topic, err = s.Source.Topic(ctx); err == nil {
			told := topic
			s.mu.Lock()
			s.mu.topic = &told
			s.mu.Unlock()
		}
		return err
	}})
	return topic, err
}

// Bounds implements connectors.Source.
func (s *source) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	err = s.by.Intercept(ctx, Call{Op: Bounds, Key: strconv.Itoa(partition), Make: func(ctx context.Context, hit Hit) (err error) {
		s.mu.Lock()
		last, told := s.mu.bounds[partition]
		s.mu.Unlock()
		if hit.Fault == Stale && told {
			first, next = last[0], last[1]
			return nil
		}
		if first, next, err = s.Source.Bounds(ctx, partition); err == nil {
			s.mu.Lock()
			s.mu.bounds[partition] = [2]int64{first, next}
			s.mu.Unlock()
		}
		return err
	}})
	return first, next, err
}

// Fetch implements connectors.Source.
func (s *source) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	key := strconv.Itoa(partition)
	return s.by.Intercept(ctx, Call{Op: Fetch, Key: key, Make: func(ctx context.Context, hit Hit) error {
		if hit.Fault == Duplicate {
			first, _, err := s.Source.Bounds(ctx, partition)
			if err != nil {
				return err
			}
			// What lies before the offset may be gone from the topic; then this is a
			// good answer. Where the offset itself is gone, the topic says so.
			offset = min(offset, max(first, offset-1-int64(hit.Bits%maxDuplicates), 0))
		}
		if err := s.Source.Fetch(ctx, partition, offset, maxWait, maxBytes, dst); err != nil {
			return err
		}
		switch {
		case hit.Fault == BitFlip:
			return hit.Failure(thalweg.Corrupt, Fetch, key)
		case hit.Fault == Truncated && dst.Len() > 0:
			cut(dst, offset, hit.part(dst.Len()))
		}
		return nil
	}})
}

// cut leaves the first n records of an answer from offset on.
func cut(dst *connectors.Records, offset int64, n int) {
	whole := *dst
	*dst = connectors.Records{Want: whole.Want, TopicID: whole.TopicID, Next: offset, End: whole.End}
	if n > 0 {
		dst.AppendRecords(&whole, 0, n)
		dst.Next = whole.Offsets[n-1] + 1
	}
}

// Commit implements connectors.Source.
func (s *source) Commit(ctx context.Context, partition int, next int64) error {
	return s.by.Intercept(ctx, Call{Op: Commit, Key: strconv.Itoa(partition),
		Make: func(ctx context.Context, _ Hit) error { return s.Source.Commit(ctx, partition, next) },
		Late: func(ctx context.Context, _ []byte) {
			_ = s.Source.Commit(ctx, partition, next)
			_ = s.Close() // it may have been closed before, and be open again now
		}})
}

// InterceptOutbox returns inner with its calls as by decides.
func InterceptOutbox(inner connectors.Outbox, by Interceptor) connectors.Outbox {
	return &outbox{inner, by}
}

type outbox struct {
	connectors.Outbox
	by Interceptor
}

// Deliver implements connectors.Outbox.
func (o *outbox) Deliver(ctx context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	return o.by.Intercept(ctx, Call{Op: Deliver,
		Make: func(ctx context.Context, _ Hit) error { return o.Outbox.Deliver(ctx, g, messages) },
		Late: func(ctx context.Context, _ []byte) {
			_ = o.Outbox.Deliver(ctx, g, messages)
			_ = o.Close() // as for Commit
		}})
}

// InterceptAppender returns inner with its calls as by decides.
func InterceptAppender(inner connectors.Appender, by Interceptor) connectors.Appender {
	return &appender{inner, by}
}

type appender struct {
	connectors.Appender
	by Interceptor
}

// Begin implements connectors.Appender.
func (a *appender) Begin(ctx context.Context, line string) (at connectors.Position, err error) {
	err = a.by.Intercept(ctx, Call{Op: Begin, Make: func(ctx context.Context, _ Hit) (err error) {
		at, err = a.Appender.Begin(ctx, line)
		return err
	}})
	return at, err
}

// Append implements connectors.Appender.
func (a *appender) Append(ctx context.Context, to connectors.Position, messages []connectors.Message) error {
	return a.by.Intercept(ctx, Call{Op: Append, Make: func(ctx context.Context, _ Hit) error { return a.Appender.Append(ctx, to, messages) }})
}
