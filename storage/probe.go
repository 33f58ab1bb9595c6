package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

const (
	probeWriters = 32 // at once on one key: with fewer, stores with a race of milliseconds pass too often
	probeRounds  = 4  // each on a key of its own
	probePrefix  = "_probe/"
	// cleanupTimeout bounds the last request of a probe whose context has ended.
	cleanupTimeout = 2 * time.Second
)

// Probe checks that PutIfAbsent of b is atomic, on which everything that is
// exactly once rests: 32 writers create one fresh key at once, and exactly one
// of them may end up in it, in each of four rounds. It removes what it wrote.
//
// The seed makes the names of the keys; it must differ between probes that may
// run at the same time. A store that lets two writers win is refused with
// Unsupported; any other error says that the probe could not be done.
func Probe(ctx context.Context, b Bucket, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 0x7468616c776567))
	for range probeRounds {
		key := fmt.Sprintf("%s%016x%016x", probePrefix, random.Uint64(), random.Uint64())
		err := probeRound(ctx, b, key)
		cleanup := b.Delete(ctx, key)
		if ctx.Err() != nil { // a probe leaves nothing, if the store answers at all
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
			cleanup = b.Delete(last, key)
			cancel()
		}
		if cleanup != nil && err == nil {
			err = &thalweg.Error{Op: "probe store", Subject: key, Err: cleanup, Hint: "the store must allow deleting below " + probePrefix}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func probeRound(ctx context.Context, b Bucket, key string) error {
	refuse := func(format string, args ...any) error {
		return &thalweg.Error{Op: "probe store", Kind: thalweg.Unsupported, Subject: key, Err: fmt.Errorf(format, args...),
			Hint: "the store's conditional create (If-None-Match: *) is not atomic, so events could be scored twice; use a store where it is, " +
				"or a newer version of this one"}
	}
	body := func(writer int) []byte { return fmt.Appendf(nil, "writer %d", writer) }
	errs := make([]error, probeWriters)
	start := make(chan struct{})
	var writers sync.WaitGroup
	for w := range probeWriters {
		writers.Go(func() {
			<-start
			_, errs[w] = b.PutIfAbsent(ctx, key, body(w))
		})
	}
	close(start)
	writers.Wait()

	winner, unknown := -1, 0
	for w, err := range errs {
		switch kind := thalweg.KindOf(err); {
		case err == nil && winner >= 0:
			return refuse("writers %d and %d both created the object", winner, w)
		case err == nil:
			winner = w
		case kind == thalweg.Unavailable:
			unknown++
		case kind != thalweg.Exists:
			return &thalweg.Error{Op: "probe store", Subject: key, Err: err, Hint: "the store must allow writing below " + probePrefix}
		}
	}
	stored, _, err := b.Get(ctx, key)
	switch {
	case err != nil && winner < 0 && unknown > 0:
		return &thalweg.Error{Op: "probe store", Kind: thalweg.Unavailable, Subject: key, Err: errors.Join(errs...)}
	case err != nil:
		return &thalweg.Error{Op: "probe store", Subject: key, Err: err}
	case winner >= 0 && !bytes.Equal(stored, body(winner)):
		return refuse("writer %d was told that it created the object, which holds %.40q", winner, stored)
	}
	// A retry below may have turned the winner's answer into Exists, so the
	// object must be some writer's; but created it must have been.
	for w := range probeWriters {
		if bytes.Equal(stored, body(w)) {
			return nil
		}
	}
	return refuse("the object holds %.40q, which nobody wrote", stored)
}
