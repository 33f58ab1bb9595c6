// Package fault provides a bucket that wraps another and fails chosen
// operations from a seeded plan: lost requests and replies, late effects,
// misleading conditional answers, damaged bytes. The errors it makes carry the
// plan's seed, with which a failure is run again.
package fault

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
)

// Bucket fails operations of an inner bucket.
type Bucket struct {
	inner storage.Bucket
	plan  Plan
	mu    struct {
		sync.Mutex
		calls    map[call]*history
		late     []late
		injected map[Fault]int
	}
}

// call tells the operations on one key apart.
type call struct {
	op  Op
	key string
}

type history struct {
	calls  int
	failed []int // per rule
}

// late is a write whose effect is still on its way.
type late struct {
	after  uint64 // so many operations from now
	effect func(context.Context)
}

// maxLate is the most operations that a late write comes late.
const maxLate = 6

var (
	_ storage.Bucket = (*Bucket)(nil)
	_ storage.Opener = (*Opener)(nil)
)

// New returns inner with the plan's faults.
func New(inner storage.Bucket, plan Plan) *Bucket {
	b := &Bucket{inner: inner, plan: plan}
	b.mu.calls = map[call]*history{}
	b.mu.injected = map[Fault]int{}
	return b
}

// Injected returns how often each fault has hit.
func (b *Bucket) Injected() map[Fault]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.mu.injected)
}

// Settle lets every late write take effect.
func (b *Bucket) Settle(ctx context.Context) {
	b.mu.Lock()
	pending := b.mu.late
	b.mu.late = nil
	b.mu.Unlock()
	for _, l := range pending {
		l.effect(ctx)
	}
}

// Get implements storage.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	f, bits := b.next(ctx, Get, key)
	if f != 0 && f != Truncated && f != BitFlip {
		return nil, storage.Info{}, b.failure(Get, key)
	}
	body, info, err := b.inner.Get(ctx, key)
	if err == nil && len(body) > 0 {
		switch f {
		case Truncated:
			body = body[:bits%uint64(len(body))]
		case BitFlip:
			flip(body, bits)
		}
	}
	return body, info, err
}

// GetRange implements storage.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	f, bits := b.next(ctx, GetRange, key)
	if f != 0 && f != Truncated && f != BitFlip {
		return b.failure(GetRange, key)
	}
	if err := b.inner.GetRange(ctx, key, offset, buf); err != nil || len(buf) == 0 {
		return err
	}
	switch f {
	case Truncated:
		clear(buf[bits%uint64(len(buf)):])
		return b.failure(GetRange, key)
	case BitFlip:
		flip(buf, bits)
	}
	return nil
}

// Put implements storage.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	var info storage.Info
	err := b.write(ctx, Put, key, body, func(ctx context.Context, body []byte) (err error) {
		info, err = b.inner.Put(ctx, key, body)
		return err
	})
	if err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// PutIfAbsent implements storage.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	var info storage.Info
	err := b.write(ctx, PutIfAbsent, key, body, func(ctx context.Context, body []byte) (err error) {
		info, err = b.inner.PutIfAbsent(ctx, key, body)
		return err
	})
	if err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// Head implements storage.Bucket.
func (b *Bucket) Head(ctx context.Context, key string) (storage.Info, error) {
	if f, _ := b.next(ctx, Head, key); f != 0 {
		return storage.Info{}, b.failure(Head, key)
	}
	return b.inner.Head(ctx, key)
}

// List implements storage.Bucket. A fault ends the listing: at once, or for
// Truncated after some objects.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		f, bits := b.next(ctx, List, prefix)
		left := bits % 8
		if f != 0 && f != Truncated {
			yield(storage.Info{}, b.failure(List, prefix))
			return
		}
		for info, err := range b.inner.List(ctx, prefix, after) {
			if f == Truncated && left == 0 && err == nil {
				yield(storage.Info{}, b.failure(List, prefix))
				return
			}
			left--
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements storage.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	return b.write(ctx, Delete, key, nil, func(ctx context.Context, _ []byte) error { return b.inner.Delete(ctx, key) })
}

// write carries out a write with the fault that hits it. A late effect gets a
// copy of body, which the caller may use again, and a result of its own.
func (b *Bucket) write(ctx context.Context, op Op, key string, body []byte, effect func(ctx context.Context, body []byte) error) error {
	f, bits := b.next(ctx, op, key)
	switch f {
	case 0:
		return effect(ctx, body)
	case LostReply:
		_ = effect(ctx, body) // whatever it was, the caller does not learn it
	case Reply412:
		// Only the reply to a create that took effect is turned around.
		if err := effect(ctx, body); err != nil {
			return err
		}
		return storage.Failure(op.String(), thalweg.Exists, key, b.cause())
	case Reply500:
		if bits&1 == 0 {
			_ = effect(ctx, body)
		}
	case Late:
		b.delay(bits, b.lateEffect(op, key, body))
	}
	return b.failure(op, key)
}

func (b *Bucket) lateEffect(op Op, key string, body []byte) func(context.Context) {
	body = append([]byte(nil), body...)
	return func(ctx context.Context) {
		switch op { // a late write has nobody to report to
		case Put:
			_, _ = b.inner.Put(ctx, key, body)
		case PutIfAbsent:
			_, _ = b.inner.PutIfAbsent(ctx, key, body)
		case Delete:
			_ = b.inner.Delete(ctx, key)
		}
	}
}

func (b *Bucket) delay(bits uint64, effect func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.late = append(b.mu.late, late{after: 1 + bits%maxLate, effect: effect})
}

// next lets the late writes that are due take effect and returns what happens
// to this call: a fault and random bits for its details, or 0.
func (b *Bucket) next(ctx context.Context, op Op, key string) (Fault, uint64) {
	b.mu.Lock()
	var due []late
	kept := b.mu.late[:0:0]
	for _, l := range b.mu.late {
		if l.after--; l.after == 0 {
			due = append(due, l)
		} else {
			kept = append(kept, l)
		}
	}
	b.mu.late = kept
	h := b.mu.calls[call{op, key}]
	if h == nil {
		h = &history{failed: make([]int, len(b.plan.Rules))}
		b.mu.calls[call{op, key}] = h
	}
	f, bits := b.plan.decide(op, key, h.calls, h.failed)
	h.calls++
	if f != 0 {
		b.mu.injected[f]++
	}
	b.mu.Unlock()
	for _, l := range due {
		l.effect(context.WithoutCancel(ctx))
	}
	if f == Slow {
		_ = retry.Sleep(ctx, slow) // where ctx ends before, the operation itself says so
		return 0, 0
	}
	return f, bits
}

// slow is how long a slow operation takes more than others.
const slow = 200 * time.Millisecond

func (b *Bucket) failure(op Op, key string) error {
	return storage.Failure(op.String(), thalweg.Unavailable, key, b.cause())
}

func (b *Bucket) cause() error { return fmt.Errorf("injected, seed %d", b.plan.Seed) }

// flip inverts one bit of data.
func flip(data []byte, bits uint64) {
	data[bits>>3%uint64(len(data))] ^= 1 << (bits & 7)
}

// Opener wraps the buckets of another opener, all with one plan.
type Opener struct {
	inner storage.Opener
	plan  Plan
	mu    struct {
		sync.Mutex
		buckets map[string]*Bucket // one history per bucket, however often it is opened
	}
}

// NewOpener returns inner with the plan's faults in every bucket.
func NewOpener(inner storage.Opener, plan Plan) *Opener {
	o := &Opener{inner: inner, plan: plan}
	o.mu.buckets = map[string]*Bucket{}
	return o
}

// Bucket implements storage.Opener.
func (o *Opener) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	inner, err := o.inner.Bucket(ctx, name)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.buckets[name] == nil {
		o.mu.buckets[name] = New(inner, o.plan)
	}
	return o.mu.buckets[name], nil
}

// CreateBucket implements storage.Opener.
func (o *Opener) CreateBucket(ctx context.Context, name string) error {
	return o.inner.CreateBucket(ctx, name)
}
