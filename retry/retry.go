// Package retry knows how to wait: the pauses between tries of something that
// failed (Backoff), trying again a bounded number of times (Policy), and the
// throttle that all requests of a process to one service share (Throttle). What
// is transient is the caller's to say, by a predicate.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// maxDoublings bounds a pause where Backoff.Max is 0, so that no number of
// failures overflows it.
const maxDoublings = 10

// Backoff is a schedule of pauses: Min after the first failure, twice as long
// after each further one in a row, at most Max (0: 1024 times Min). Half of a
// pause is random, so that those who failed together do not come back together.
type Backoff struct {
	Min, Max time.Duration
}

// Longest returns the schedule's pause after a number of failures in a row, from
// 1, without its randomness.
func (b Backoff) Longest(failures int) time.Duration {
	d, limit := b.Min, b.Max
	if limit == 0 {
		limit = b.Min << maxDoublings
	}
	for n := 1; n < min(failures, 32) && d < limit; n++ {
		d *= 2
	}
	return min(d, limit)
}

// Delay returns the pause after a number of failures in a row, from 1: between
// half of the longest and all of it. random is the source of the random half; nil
// is the process's own, which no seed repeats.
func (b Backoff) Delay(failures int, random *rand.Rand) time.Duration {
	half := b.Longest(failures) / 2
	if random == nil {
		return half + rand.N(half+1)
	}
	return half + time.Duration(random.Int64N(int64(half)+1))
}

// Wait pauses after a number of failures in a row, from 1. The error is the
// cause of ctx's end, if it ends before.
func (b Backoff) Wait(ctx context.Context, failures int) error {
	return Sleep(ctx, b.Delay(failures, nil))
}

// Sleep waits for d. The error is the cause of ctx's end, if it ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Policy says how often something is tried, and how patiently.
type Policy struct {
	Backoff Backoff
	// Attempts bounds the tries; 0: without end.
	Attempts int
	// Throttle, where set, ends the trying when the service's budget for retries
	// is spent: then the caller alone tries again. The try itself passes it and
	// reports to it, as only the try knows what was an answer.
	Throttle *Throttle
}

// Do calls try until it succeeds or fails with an error that is not transient,
// or until Attempts or the Throttle's budget are used up, and returns the last
// error. Where ctx ends during a pause, that is the cause of its end.
func (p Policy) Do(ctx context.Context, transient func(error) bool, try func() error) error {
	for failures := 1; ; failures++ {
		err := try()
		switch {
		case err == nil, !transient(err), failures == p.Attempts, p.Throttle != nil && !p.Throttle.MayRepeat():
			return err
		}
		if err := p.Backoff.Wait(ctx, failures); err != nil {
			return err
		}
	}
}
