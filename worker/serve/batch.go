package serve

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
)

// rows are what a request asks about: JSON objects that lie end to end or, where record is
// set, rows of that.
type rows struct {
	values []byte
	start  int   // where the first begins in values
	ends   []int // where each ends
	record arrow.Record
}

func (r *rows) len() int {
	if r.record != nil {
		return int(r.record.NumRows())
	}
	return len(r.ends)
}

// bytes is what the rows take, about.
func (r *rows) bytes() int {
	switch {
	case r.record != nil:
		return 8 * r.len() * int(r.record.NumCols())
	case len(r.ends) == 0:
		return 0
	}
	return r.ends[len(r.ends)-1] - r.start
}

// cut takes the first n rows away.
func (r *rows) cut(n int) (first rows) {
	if r.record != nil {
		first.record, r.record = r.record.NewSlice(0, int64(n)), r.record.NewSlice(int64(n), r.record.NumRows())
		return first
	}
	first = rows{values: r.values, start: r.start, ends: r.ends[:n]}
	r.start, r.ends = r.ends[n-1], r.ends[n:]
	return first
}

// call is rows of one request on their way through a batcher.
type call struct {
	rows
	ctx   context.Context
	until time.Time // the zero time: ctx says all
	done  chan struct{}

	// Set before done is closed.
	answer Answer
	err    error
}

func newCall(ctx context.Context, until time.Time, of rows) *call {
	return &call{rows: of, ctx: ctx, until: until, done: make(chan struct{})}
}

// over returns why nobody waits for the call any more, nil if somebody does.
func (c *call) over(now time.Time) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if !c.until.IsZero() && now.After(c.until) {
		return context.DeadlineExceeded
	}
	return nil
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
// wait: who adds the first scores a batch or starts who does, until there are none.
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

// maxOwnDelay bounds the MaxDelay with which requests gather batches themselves: one that does
// is deaf to its deadline meanwhile.
const maxOwnDelay = 5 * time.Millisecond

// ask queues a call, and returns once it is answered or its context has ended. Where nobody
// gathers a batch the caller does: no other goroutine has to wake for one request.
func (b *batcher) ask(c *call) error {
	s, err := b.queue(c)
	switch {
	case err != nil:
		return err
	case s != nil && b.limits.MaxDelay <= maxOwnDelay:
		s = b.batch(s, nil)
	}
	if s != nil {
		go b.run(s)
	}
	return c.wait()
}

// add queues a call, of MaxBatch rows at most; Throttled if too much waits.
func (b *batcher) add(c *call) error {
	s, err := b.queue(c)
	if s != nil {
		go b.run(s)
	}
	return err
}

// queue queues a call, and returns a scorer if the caller is to have a batch scored.
func (b *batcher) queue(c *call) (scorer, error) {
	b.mu.Lock()
	if len(b.mu.queue) > 0 && (b.mu.rows+c.len() > b.limits.MaxQueued || b.mu.bytes+c.bytes() > b.limits.MaxQueuedBytes) {
		rows := b.mu.rows
		b.mu.Unlock()
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Throttled, Err: errBusy(rows), Hint: "try again in a second, or have more workers serve: serving.workers"}
	}
	b.mu.queue = append(b.mu.queue, c)
	b.mu.rows += c.len()
	b.mu.bytes += c.bytes()
	s := b.startLocked()
	wake := s == nil && b.mu.gathering && b.fullLocked()
	b.mu.Unlock()
	if wake {
		b.wake()
	}
	return s, nil
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
	for s != nil {
		s = b.batch(s, &calls)
	}
}

// batch gathers and scores one, and returns a scorer if the caller is to do so again. kept, if
// not nil, is memory for the calls of a batch.
func (b *batcher) batch(s scorer, kept *[]*call) (next scorer) {
	var calls []*call
	if kept != nil {
		calls = (*kept)[:0]
	}
	if calls = b.gather(calls); len(calls) > 0 {
		if err := guarded(func() error { s.score(calls); return nil }); err != nil {
			for _, c := range calls {
				c.err = cmp.Or(c.err, err)
			}
		}
		for _, c := range calls {
			close(c.done)
		}
		clear(calls)
	}
	if kept != nil {
		*kept = calls
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.idle = append(b.mu.idle, s)
	return b.startLocked()
}

// gather returns the calls of the next batch, without those that nobody waits for any more.
// The caller is the one who gathers.
func (b *batcher) gather(calls []*call) []*call {
	// Requests that can be read already are, and add their rows first: to score a row more costs
	// a fraction of what a batch does.
	runtime.Gosched()
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
	n, rows, now := 0, 0, time.Now()
	for n < len(b.mu.queue) && (n == 0 || rows+b.mu.queue[n].len() <= b.limits.MaxBatch) {
		c := b.mu.queue[n]
		rows += c.len()
		b.mu.bytes -= c.bytes()
		n++
		if why := c.over(now); why == nil {
			calls = append(calls, c)
		} else {
			c.err = &thalweg.Error{Op: "score", Kind: thalweg.Canceled, Err: why}
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
