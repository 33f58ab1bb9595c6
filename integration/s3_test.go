//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// TestMinIOEncryptsWhatAConnectionWantsEncrypted: a bucket of such a connection keeps the
// promises of any other, and of what was written nothing lies on the server's disk as it is.
func TestMinIOEncryptsWhatAConnectionWantsEncrypted(t *testing.T) {
	const key, marker = "lake-key", "these rows are nobody else's business"
	server := minio.Start(t, "MINIO_KMS_SECRET_KEY="+key+":"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	written := map[s3.Encryption]string{{}: "plain", {Type: s3.SSES3}: "sealed", {Type: s3.SSEKMS, KeyID: key}: "sealed-by-key"}
	for as, name := range written {
		opener, err := s3.New(s3.Config{Endpoint: server.Address, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Encryption: as})
		if err != nil {
			t.Fatal(err)
		}
		defer opener.Close()
		var buckets atomic.Int64
		if as != (s3.Encryption{}) {
			storagetest.Run(t, func(t *testing.T) storage.Bucket {
				return newBucket(t, opener, fmt.Sprintf("%s-%d", name, buckets.Add(1)))
			})
		}
		bucket := newBucket(t, opener, name)
		large := bytes.Repeat([]byte(marker+"\n"), (65<<20)/len(marker)) // in two parts
		for key, body := range map[string][]byte{"rows": []byte(marker), "large": large} {
			if _, err := bucket.Put(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
			if got, _, err := bucket.Get(t.Context(), key); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s/%s comes back otherwise: %v", name, key, err)
			}
		}
	}
	found := make(map[string]bool)
	err := filepath.WalkDir(server.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if bytes.Contains(body, []byte(marker)) {
			name, _ := filepath.Rel(server.Dir, path)
			found[strings.Split(name, "/")[0]] = true
		}
		return err
	})
	if err != nil || len(found) != 1 || !found["plain"] {
		t.Errorf("lies on the disk as it is, by bucket: %v (%v), want plain alone", found, err)
	}
	unable := minio.Start(t) // has no keys
	opener, err := s3.New(s3.Config{Endpoint: unable.Address, AccessKey: unable.AccessKey, SecretKey: unable.SecretKey, Encryption: s3.Encryption{Type: s3.SSES3}})
	if err != nil {
		t.Fatal(err)
	}
	defer opener.Close()
	if _, err := newBucket(t, opener, "lake").Put(t.Context(), "rows", []byte(marker)); err == nil {
		t.Error("a server without keys takes what it is to encrypt")
	}
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
