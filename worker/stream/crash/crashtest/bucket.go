package crashtest

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Bucket returns b as the process sees it.
func (g *Gate) Bucket(b storage.Bucket) storage.Bucket {
	if g == nil {
		return b
	}
	return &bucket{b, g}
}

type bucket struct {
	inner storage.Bucket
	gate  *Gate
}

// flip inverts a bit of what arrives.
func flip(data []byte) error {
	if len(data) > 0 {
		data[len(data)/2] ^= 4
	}
	return nil
}

// Get implements storage.Bucket.
func (b *bucket) Get(ctx context.Context, key string) (body []byte, info storage.Info, err error) {
	err = b.gate.call(ctx, Call{Op: "get", Key: key}, nil, step{seam: ofStore, spoil: func() error { return flip(body) },
		effect: func(ctx context.Context) (err error) { body, info, err = b.inner.Get(ctx, key); return err }})
	if err != nil {
		return nil, storage.Info{}, err
	}
	return body, info, nil
}

// GetRange implements storage.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	return b.gate.call(ctx, Call{Op: "get range", Key: key}, nil, step{seam: ofStore, spoil: func() error { return flip(buf) },
		effect: func(ctx context.Context) error { return b.inner.GetRange(ctx, key, offset, buf) }})
}

// Head implements storage.Bucket.
func (b *bucket) Head(ctx context.Context, key string) (info storage.Info, err error) {
	err = b.gate.call(ctx, Call{Op: "head", Key: key}, nil, step{seam: ofStore,
		effect: func(ctx context.Context) (err error) { info, err = b.inner.Head(ctx, key); return err }})
	return info, err
}

// Put implements storage.Bucket.
func (b *bucket) Put(ctx context.Context, key string, body []byte) (info storage.Info, err error) {
	late := append([]byte(nil), body...)
	err = b.gate.call(ctx, Call{Op: "put", Key: key}, body, step{seam: ofStore,
		effect: func(ctx context.Context) (err error) { info, err = b.inner.Put(ctx, key, body); return err },
		late:   func() { _, _ = b.inner.Put(context.WithoutCancel(ctx), key, late) }}) // nobody is left to be told
	return info, err
}

// PutIfAbsent implements storage.Bucket.
func (b *bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (info storage.Info, err error) {
	late := append([]byte(nil), body...)
	err = b.gate.call(ctx, Call{Op: "put if absent", Key: key}, body, step{seam: ofStore,
		effect: func(ctx context.Context) (err error) { info, err = b.inner.PutIfAbsent(ctx, key, body); return err },
		late:   func() { _, _ = b.inner.PutIfAbsent(context.WithoutCancel(ctx), key, late) },
		spoil:  func() error { return storage.Failure("put if absent", thalweg.Exists, key, nil) }})
	return info, err
}

// List implements storage.Bucket. Its step is the first page.
func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		err := b.gate.call(ctx, Call{Op: "list", Key: prefix}, nil, step{seam: ofStore, effect: func(context.Context) error { return nil }})
		if err != nil {
			yield(storage.Info{}, err)
			return
		}
		b.inner.List(ctx, prefix, after)(yield)
	}
}

// Delete implements storage.Bucket.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.gate.call(ctx, Call{Op: "delete", Key: key}, nil, step{seam: ofStore,
		effect: func(ctx context.Context) error { return b.inner.Delete(ctx, key) },
		late:   func() { _ = b.inner.Delete(context.WithoutCancel(ctx), key) }})
}
