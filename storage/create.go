package storage

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// Rereads bounds how often an object whose bytes are not what they should be is
// read anew: a bit flipped on the way is gone the second time, a damaged object
// is not.
const Rereads = 2

// Create creates an object unless its key is taken, and makes sure of the
// outcome: every answer but success means that the object may be there all the
// same, so resolve reads the key. It returns nil or an error where that decides
// the outcome, and NotFound or a transient error where it does not: then the
// creation is tried again under the policy's bounds, as the same bytes under the
// same key do no harm twice.
func Create(ctx context.Context, b Bucket, p retry.Policy, op, key string, body []byte, resolve func() error) error {
	open := false // the outcome is unknown
	err := p.Do(ctx, func(error) bool { return open }, func() error {
		_, err := b.PutIfAbsent(ctx, key, body)
		kind := thalweg.KindOf(err)
		if open = kind.Transient() || kind == thalweg.Exists || kind == thalweg.Conflict; !open {
			return err // nil, or an error that trying again does not heal
		}
		err = resolve()
		open = err != nil && (thalweg.Is(err, thalweg.NotFound) || thalweg.IsTransient(err))
		return err
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return &thalweg.Error{Op: op, Kind: thalweg.Canceled, Subject: key, Err: context.Cause(ctx)}
	case open:
		return &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: key, Err: err,
			Hint: fmt.Sprintf("the store gave no clear answer in %d tries; the outcome is unknown", p.Attempts)}
	}
	return err
}
