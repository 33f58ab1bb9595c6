//go:build integration

package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/storage/storagetest"
)

func newOpener(t *testing.T, server *minio.Server) *s3.Opener {
	t.Helper()
	opener, err := s3.New(s3.Config{Endpoint: server.Address, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opener.Close() })
	return opener
}

func newBucket(t *testing.T, opener storage.Opener, name string) storage.Bucket {
	t.Helper()
	if err := opener.CreateBucket(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	bucket, err := opener.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func TestMinIOKeepsThePromisesOfStorage(t *testing.T) {
	opener := newOpener(t, minio.Start(t))
	t.Run("opener", func(t *testing.T) { storagetest.RunOpener(t, opener) })
	var buckets atomic.Int64
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		return newBucket(t, opener, fmt.Sprintf("suite-%d", buckets.Add(1)))
	})
	t.Run("probe", func(t *testing.T) {
		bucket := newBucket(t, opener, "probe")
		for seed := range uint64(10) {
			if err := storage.Probe(t.Context(), bucket, seed); err != nil {
				t.Error(err)
			}
		}
		for info, err := range bucket.List(t.Context(), "", "") {
			t.Errorf("the probe left %q behind (%v)", info.Key, err)
		}
	})
}

// TestSlotsHaveOneOwnerThoughTheServerIsKilled has writers claim the slots of a
// log by conditional creates while the server dies and comes back. Whatever a
// writer is told, reading the slot settles it: each slot ends with one owner,
// and all writers agree on who that is.
func TestSlotsHaveOneOwnerThoughTheServerIsKilled(t *testing.T) {
	const writers, slots, kills = 4, 300, 3
	server := minio.Start(t)
	bucket := newBucket(t, newOpener(t, server), "log")
	owners := make([]sync.Map, slots) // slot → set of the owners that writers saw
	var claimed atomic.Int64
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			for slot := range slots {
				owner, err := claim(t.Context(), bucket, fmt.Sprintf("%012d", slot), fmt.Sprintf("writer %d", w))
				if err != nil {
					return fmt.Errorf("writer %d, slot %d: %w", w, slot, err)
				}
				owners[slot].Store(owner, true)
				claimed.Add(1)
			}
			return nil
		})
	}
	for k := range kills {
		process.Until(t, "the writers to get on", func(context.Context) error {
			if n, want := claimed.Load(), int64((k+1)*writers*slots/(kills+1)); n < want {
				return fmt.Errorf("%d of %d claims", n, want)
			}
			return nil
		})
		server.Kill()
		server.Restart(t)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for slot := range slots {
		body, _, err := bucket.Get(t.Context(), fmt.Sprintf("%012d", slot))
		if err != nil {
			t.Fatal(err)
		}
		owners[slot].Range(func(owner, _ any) bool {
			if owner != string(body) {
				t.Errorf("slot %d is of %q, a writer saw %q", slot, body, owner)
			}
			return true
		})
	}
}

// claim creates the slot or learns whose it is.
func claim(ctx context.Context, b storage.Bucket, key, me string) (owner string, err error) {
	for {
		if _, err = b.PutIfAbsent(ctx, key, []byte(me)); err == nil {
			return me, nil
		}
		if !thalweg.Is(err, thalweg.Exists) && !thalweg.Is(err, thalweg.Unavailable) {
			return "", err
		}
		body, _, err := b.Get(ctx, key)
		switch {
		case err == nil:
			return string(body), nil
		case thalweg.Is(err, thalweg.NotFound), thalweg.Is(err, thalweg.Unavailable):
			// Nobody's yet, or nobody can tell: try again.
		default:
			return "", err
		}
	}
}
