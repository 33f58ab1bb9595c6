// Package memory provides buckets that live in the process: for tests, and as
// the reference of what the other providers do.
package memory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Bucket is a storage.Bucket in memory. Its zero value is not usable; see New.
type Bucket struct {
	mu struct {
		sync.RWMutex
		objects map[string]object
	}
}

// object is immutable: a Put makes a new one.
type object struct {
	body []byte
	etag string
}

var (
	_ storage.Bucket = (*Bucket)(nil)
	_ storage.Opener = (*Opener)(nil)
)

// New returns an empty bucket.
func New() *Bucket {
	b := &Bucket{}
	b.mu.objects = map[string]object{}
	return b
}

// Get implements storage.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	o, err := b.find(ctx, "get", key)
	if err != nil {
		return nil, storage.Info{}, err
	}
	return bytes.Clone(o.body), o.info(key), nil
}

// GetRange implements storage.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	o, err := b.find(ctx, "get range", key)
	if err != nil {
		return err
	}
	if err := storage.CheckRange(key, offset, len(buf), int64(len(o.body))); err != nil {
		return err
	}
	copy(buf, o.body[offset:])
	return nil
}

// Put implements storage.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if err := storage.Begin(ctx, "put", key); err != nil {
		return storage.Info{}, err
	}
	o := newObject(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.objects[key] = o
	return o.info(key), nil
}

// PutIfAbsent implements storage.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if err := storage.Begin(ctx, "put if absent", key); err != nil {
		return storage.Info{}, err
	}
	o := newObject(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.mu.objects[key]; taken {
		return storage.Info{}, storage.Failure("put if absent", thalweg.Exists, key, nil)
	}
	b.mu.objects[key] = o
	return o.info(key), nil
}

// Head implements storage.Bucket.
func (b *Bucket) Head(ctx context.Context, key string) (storage.Info, error) {
	o, err := b.find(ctx, "head", key)
	if err != nil {
		return storage.Info{}, err
	}
	return o.info(key), nil
}

// List implements storage.Bucket. It yields the objects that were there when
// it began.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		possible := storage.PrefixMatches(prefix)
		b.mu.RLock()
		found := make([]storage.Info, 0, min(len(b.mu.objects), storage.MaxListPage))
		for key, o := range b.mu.objects {
			if strings.HasPrefix(key, prefix) && key > after && possible {
				found = append(found, o.info(key))
			}
		}
		b.mu.RUnlock()
		slices.SortFunc(found, func(x, y storage.Info) int { return strings.Compare(x.Key, y.Key) })
		for _, info := range found {
			if err := storage.Ended(ctx, "list", prefix); err != nil {
				yield(storage.Info{}, err)
				return
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := storage.Ended(ctx, "list", prefix); err != nil {
			yield(storage.Info{}, err)
		}
	}
}

// Delete implements storage.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := storage.Begin(ctx, "delete", key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.objects, key)
	return nil
}

func (b *Bucket) find(ctx context.Context, op, key string) (object, error) {
	if err := storage.Begin(ctx, op, key); err != nil {
		return object{}, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, ok := b.mu.objects[key]
	if !ok {
		return object{}, storage.Failure(op, thalweg.NotFound, key, nil)
	}
	return o, nil
}

func newObject(body []byte) object {
	sum := sha256.Sum256(body)
	return object{body: bytes.Clone(body), etag: hex.EncodeToString(sum[:16])}
}

func (o object) info(key string) storage.Info {
	return storage.Info{Key: key, SizeBytes: int64(len(o.body)), ETag: o.etag}
}

// Opener keeps named buckets in memory.
type Opener struct {
	mu struct {
		sync.Mutex
		buckets map[string]*Bucket
	}
}

// NewOpener returns an opener with the named buckets, all empty.
func NewOpener(names ...string) *Opener {
	o := &Opener{}
	o.mu.buckets = map[string]*Bucket{}
	for _, name := range names {
		o.mu.buckets[name] = New()
	}
	return o
}

// Bucket implements storage.Opener.
func (o *Opener) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	if err := storage.Ended(ctx, "open bucket", name); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if b, ok := o.mu.buckets[name]; ok {
		return b, nil
	}
	known := slices.Sorted(maps.Keys(o.mu.buckets))
	return nil, storage.Failure("open bucket", thalweg.NotFound, name, errors.New("the buckets are "+strings.Join(known, ", ")))
}

// CreateBucket implements storage.Opener.
func (o *Opener) CreateBucket(ctx context.Context, name string) error {
	if err := storage.Ended(ctx, "create bucket", name); err != nil {
		return err
	}
	if err := storage.ValidateBucketName(name); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.buckets[name] == nil {
		o.mu.buckets[name] = New()
	}
	return nil
}
