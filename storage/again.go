package storage

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
)

// Rereads bounds how often an object whose bytes are not what they should be is
// read anew: a bit flipped on the way is gone the second time, a damaged object
// is not.
const Rereads = 2

// Pause waits before try number attempt (from 1) to place something, or until
// ctx ends (Canceled): backoff before the first, twice as long before each later
// one, all shortened by up to half at random.
func Pause(ctx context.Context, subject string, backoff time.Duration, attempt int) error {
	d := backoff << min(attempt-1, 10)
	d -= rand.N(d/2 + 1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return &thalweg.Error{Op: "wait for the store", Kind: thalweg.Canceled, Subject: subject, Err: context.Cause(ctx)}
	case <-timer.C:
		return nil
	}
}
