// Package machine has what the state machines of the stream have in common.
//
// A machine decides everything and does nothing: step(now, event) returns the
// effects that its shell is to carry out, and what came of an effect comes back as
// an event. It reads no clock and draws jitter from a generator that it is given,
// so that a seed replays it. One goroutine uses it.
package machine

import (
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// Instant is a moment as the shell saw it: periods are measured on a clock that
// never jumps, times that are written down come from the wall clock.
type Instant struct {
	Mono time.Duration // since the shell began
	Wall int64         // microseconds since 1970 UTC
}

// At returns the instant of t for a shell that began at begun.
func At(begun, t time.Time) Instant { return Instant{Mono: t.Sub(begun), Wall: t.UnixMicro()} }

// Retry is what an operation failed with since it last succeeded.
type Retry struct {
	Failures int
	Corrupt  int           // of the failures, those of kind Corrupt
	At       time.Duration // when it may be tried again
	Err      error         // the last
}

// Fail counts a failure and sets when the next try is due.
func (r *Retry) Fail(now time.Duration, err error, backoff retry.Backoff, random *rand.Rand) {
	r.Failures++
	if thalweg.Is(err, thalweg.Corrupt) {
		r.Corrupt++
	}
	r.Err, r.At = err, now+backoff.Delay(r.Failures, random)
}

// Ops tracks the operations of a machine by their kind K, a small number: at most
// one of each kind is under way, and one that failed is due again after a pause.
type Ops[K ~uint8] struct {
	Now     Instant
	Backoff retry.Backoff
	Rand    *rand.Rand
	ops     []operation
}

type operation struct {
	busy bool
	Retry
}

// NewOps returns an Ops of the kinds below n.
func NewOps[K ~uint8](n K, backoff retry.Backoff, random *rand.Rand) Ops[K] {
	return Ops[K]{Backoff: backoff, Rand: random, ops: make([]operation, n)}
}

// Busy reports whether an operation of the kind is under way.
func (o *Ops[K]) Busy(k K) bool { return o.ops[k].busy }

// Idle reports whether an operation is neither under way nor waiting for its next
// try.
func (o *Ops[K]) Idle(k K) bool {
	return !o.ops[k].busy && (o.ops[k].Failures == 0 || o.Now.Mono >= o.ops[k].At)
}

// Retry returns what an operation failed with.
func (o *Ops[K]) Retry(k K) Retry { return o.ops[k].Retry }

// Begin notes that an operation is under way.
func (o *Ops[K]) Begin(k K) { o.ops[k].busy = true }

// Drop ends an operation whose outcome does not matter any more.
func (o *Ops[K]) Drop(k K) { o.ops[k].busy = false }

// Complete ends an operation and reports whether it succeeded.
func (o *Ops[K]) Complete(k K, err error) bool {
	op := &o.ops[k]
	op.busy = false
	if err == nil {
		op.Retry = Retry{}
		return true
	}
	op.Fail(o.Now.Mono, err, o.Backoff, o.Rand)
	return false
}

// NextRetry returns when the next operation is due again, false if none waits.
func (o *Ops[K]) NextRetry() (at time.Duration, ok bool) {
	for _, op := range o.ops {
		if !op.busy && op.Failures > 0 && op.At > o.Now.Mono && (!ok || op.At < at) {
			at, ok = op.At, true
		}
	}
	return at, ok
}
