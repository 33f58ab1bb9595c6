package train

import (
	"context"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Exchange carries what replicas contribute between the workers of a run:
// worker/average provides it over HTTP. A contribution is a weight, a vector to be
// reduced (none in exchanges that only gather notes) and a note. It is a pure
// function of the job and the exchange's number, so offering it twice, or from two
// workers, is harmless.
//
// The methods are called from one goroutine, Offer from several, Collect while they do.
type Exchange interface {
	// Held returns the replicas that this worker computes now, ascending, and a
	// channel that is closed when that, or who computes the others, has changed.
	Held() (replicas []int, changed <-chan struct{})
	// Offer makes a contribution available. The exchange keeps vector and note,
	// which must not be changed any more.
	Offer(sequence uint64, replica int, weight float64, vector kernel.Vector, note []byte)
	// Collect waits until the contributions of all replicas to an exchange are
	// known, those of this worker when offered is closed, returns the notes in replica order, and sets reduced, which has the
	// length and the type of the contributions. It keeps reduced, which must not be
	// changed any more.
	//
	// It returns newer instead, with no error, if the run has moved on: a
	// snapshot given to Advance, by any worker, for a later number. It fails with
	// Conflict when the assignment has changed: look at Held again and offer what
	// is missing. It retries everything else until ctx ends, except a
	// contradiction between workers.
	Collect(ctx context.Context, sequence uint64, reduced kernel.Vector, offered <-chan struct{}) (notes [][]byte, newer []byte, err error)
	// Advance tells that exchange number sequence is the next one to collect.
	// snapshot returns the state that a worker needs to join there; it is called
	// from other goroutines, when a worker asks. Contributions older than
	// sequence-1 are forgotten.
	Advance(sequence uint64, snapshot func() ([]byte, error))
	// Finish waits, for a bounded time, until the other workers have collected
	// what they need from this one.
	Finish(ctx context.Context)
}
