package serve

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

// call is rows of one request on their way through a batcher.
type call struct {
	ctx    context.Context
	values []byte // the rows, JSON objects end to end
	ends   []int  // where each ends
	done   chan struct{}

	// Set before done is closed.
	answer Answer
	err    error
}

func newCall(ctx context.Context, values []byte, ends []int) *call {
	return &call{ctx: ctx, values: values, ends: ends, done: make(chan struct{})}
}

// Limits bound the micro-batches of a version, and what waits for one.
type Limits struct {
	MaxBatch int           // rows of a micro-batch; default 256
	MaxDelay time.Duration // that a row waits for others; 0: none
	Scorers  int           // micro-batches that are scored at once; default GOMAXPROCS
	// MaxQueued is how many rows may wait, 64 micro-batches by default: at a thousand
	// batches a second those behind would wait longer than clients do.
	MaxQueued int
	// MaxQueuedBytes bounds their bytes; default 64 MiB.
	MaxQueuedBytes int
}

func (l Limits) withDefaults() Limits {
	if l.MaxBatch == 0 {
		l.MaxBatch = 256
	}
	if l.Scorers == 0 {
		l.Scorers = runtime.GOMAXPROCS(0)
	}
	if l.MaxQueued == 0 {
		l.MaxQueued = 64 * l.MaxBatch
	}
	if l.MaxQueuedBytes == 0 {
		l.MaxQueuedBytes = 64 << 20
	}
	return l
}

// scorer scores one micro-batch at a time.
type scorer interface {
	// score sets the answers or errors of the calls.
	score(calls []*call)
}

// batcher gathers the rows of requests to micro-batches. It has goroutines only while rows
// wait: who adds the first starts one, which scores until there are none.
type batcher struct {
	limits Limits
	// more wakes who gathers a batch: a call was added, or nobody is about to add one.
	more chan struct{}
	mu   struct {
		sync.Mutex
		queue     []*call
		rows      int
		bytes     int
		idle      []scorer
		gathering bool // somebody waits for a batch to fill
		arriving  int  // requests that are read, and will add rows
		last      int  // calls of the last batch: as many are likely to come again
	}
}

func newBatcher(limits Limits, scorers []scorer) *batcher {
	b := &batcher{limits: limits, more: make(chan struct{}, 1)}
	b.mu.idle = scorers
	return b
}

// arrive notes that a request has begun: a batch waits for its rows, up to MaxDelay.
func (b *batcher) arrive() {
	b.mu.Lock()
	b.mu.arriving++
	b.mu.Unlock()
}

// arrived takes back what arrive noted.
func (b *batcher) arrived() {
	b.mu.Lock()
	b.mu.arriving--
	wake := b.mu.gathering && b.fullLocked()
	b.mu.Unlock()
	if wake {
		b.wake()
	}
}

func (b *batcher) wake() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// add queues a call, of MaxBatch rows at most; Throttled if too much waits.
func (b *batcher) add(c *call) error {
	b.mu.Lock()
	if len(b.mu.queue) > 0 && (b.mu.rows+len(c.ends) > b.limits.MaxQueued || b.mu.bytes+len(c.values) > b.limits.MaxQueuedBytes) {
		rows := b.mu.rows
		b.mu.Unlock()
		return &thalweg.Error{Op: "score", Kind: thalweg.Throttled, Err: errBusy(rows), Hint: "try again in a second, or have more workers serve: serving.workers"}
	}
	b.mu.queue = append(b.mu.queue, c)
	b.mu.rows += len(c.ends)
	b.mu.bytes += len(c.values)
	s := b.startLocked()
	wake := s == nil && b.mu.gathering && b.fullLocked()
	b.mu.Unlock()
	switch {
	case s != nil:
		go b.run(s)
	case wake:
		b.wake()
	}
	return nil
}

// fullLocked reports whether a batch need not wait for more: it is full, or nobody is about to
// add rows and there are as many requests as the last time.
func (b *batcher) fullLocked() bool {
	return b.mu.rows >= b.limits.MaxBatch || b.mu.arriving == 0 && len(b.mu.queue) >= b.mu.last
}

// startLocked returns an idle scorer if somebody is to gather a batch and nobody does.
func (b *batcher) startLocked() scorer {
	n := len(b.mu.idle)
	if b.mu.gathering || n == 0 || len(b.mu.queue) == 0 {
		return nil
	}
	s := b.mu.idle[n-1]
	b.mu.idle, b.mu.gathering = b.mu.idle[:n-1], true
	return s
}

// run scores batches until no rows wait.
func (b *batcher) run(s scorer) {
	var calls []*call
	for {
		calls = b.gather(calls[:0])
		if len(calls) > 0 {
			s.score(calls)
			for _, c := range calls {
				close(c.done)
			}
			clear(calls)
		}
		b.mu.Lock()
		b.mu.idle = append(b.mu.idle, s)
		next := b.startLocked()
		b.mu.Unlock()
		if next == nil {
			return
		}
		s = next
	}
}

// gather returns the calls of the next batch, without those that nobody waits for any more.
// The caller is the one who gathers.
func (b *batcher) gather(calls []*call) []*call {
	var timer *time.Timer
	for {
		b.mu.Lock()
		if b.limits.MaxDelay == 0 || b.fullLocked() {
			break
		}
		b.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(b.limits.MaxDelay)
			defer timer.Stop()
		}
		select {
		case <-b.more:
			continue
		case <-timer.C:
		}
		b.mu.Lock()
		break
	}
	n, rows := 0, 0
	for n < len(b.mu.queue) && (n == 0 || rows+len(b.mu.queue[n].ends) <= b.limits.MaxBatch) {
		c := b.mu.queue[n]
		rows += len(c.ends)
		b.mu.bytes -= len(c.values)
		if n++; c.ctx.Err() == nil {
			calls = append(calls, c)
		} else {
			c.err = &thalweg.Error{Op: "score", Kind: thalweg.Canceled, Err: context.Cause(c.ctx)}
			close(c.done)
		}
	}
	b.mu.rows -= rows
	left := copy(b.mu.queue, b.mu.queue[n:])
	clear(b.mu.queue[left:])
	b.mu.queue, b.mu.gathering, b.mu.last = b.mu.queue[:left], false, n
	s := b.startLocked()
	b.mu.Unlock()
	if s != nil {
		go b.run(s)
	}
	return calls
}

// wait returns once the call is answered, or its context has ended.
func (c *call) wait() error {
	select {
	case <-c.done:
		return c.err
	case <-c.ctx.Done():
		// The batch may still read the rows: whoever made the call must leave them alone.
		return &thalweg.Error{Op: "score", Kind: thalweg.Canceled, Err: context.Cause(c.ctx)}
	}
}

type errBusy int

func (n errBusy) Error() string { return "too many rows wait" }
