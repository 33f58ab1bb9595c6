package fault

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Bucket makes operations of an inner bucket go wrong by a plan.
type Bucket struct {
	bucket
	*Injector
}

// NewBucket returns inner with the plan's faults.
func NewBucket(inner storage.Bucket, plan Plan) *Bucket {
	i := newInjector(plan)
	return &Bucket{bucket{inner, i}, i}
}

// InterceptBucket returns inner with its calls as by decides.
func InterceptBucket(inner storage.Bucket, by Interceptor) storage.Bucket { return &bucket{inner, by} }

type bucket struct {
	inner storage.Bucket
	by    Interceptor
}

// Get implements storage.Bucket.
func (b *bucket) Get(ctx context.Context, key string) (body []byte, info storage.Info, err error) {
	err = b.by.Intercept(ctx, Call{Op: Get, Key: key, Make: func(ctx context.Context, hit Hit) (err error) {
		if body, info, err = b.inner.Get(ctx, key); err != nil || len(body) == 0 {
			return err
		}
		switch hit.Fault {
		case Truncated:
			body = body[:hit.part(len(body))]
		case BitFlip:
			hit.flip(body)
		}
		return nil
	}})
	if err != nil {
		return nil, storage.Info{}, err
	}
	return body, info, nil
}

// GetRange implements storage.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	return b.by.Intercept(ctx, Call{Op: GetRange, Key: key, Make: func(ctx context.Context, hit Hit) error {
		if err := b.inner.GetRange(ctx, key, offset, buf); err != nil || len(buf) == 0 {
			return err
		}
		switch hit.Fault {
		case Truncated:
			clear(buf[hit.part(len(buf)):])
			return hit.Failure(thalweg.Unavailable, GetRange, key)
		case BitFlip:
			hit.flip(buf)
		}
		return nil
	}})
}

// Head implements storage.Bucket.
func (b *bucket) Head(ctx context.Context, key string) (info storage.Info, err error) {
	err = b.by.Intercept(ctx, Call{Op: Head, Key: key, Make: func(ctx context.Context, _ Hit) (err error) {
		info, err = b.inner.Head(ctx, key)
		return err
	}})
	return info, err
}

// Put implements storage.Bucket.
func (b *bucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return b.write(ctx, Put, key, body, b.inner.Put)
}

// PutIfAbsent implements storage.Bucket.
func (b *bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return b.write(ctx, PutIfAbsent, key, body, b.inner.PutIfAbsent)
}

// Delete implements storage.Bucket.
func (b *bucket) Delete(ctx context.Context, key string) error {
	_, err := b.write(ctx, Delete, key, nil, func(ctx context.Context, key string, _ []byte) (storage.Info, error) {
		return storage.Info{}, b.inner.Delete(ctx, key)
	})
	return err
}

func (b *bucket) write(ctx context.Context, op Op, key string, body []byte,
	effect func(ctx context.Context, key string, body []byte) (storage.Info, error)) (info storage.Info, err error) {
	err = b.by.Intercept(ctx, Call{Op: op, Key: key, Body: body,
		Make: func(ctx context.Context, _ Hit) (err error) { info, err = effect(ctx, key, body); return err },
		Late: func(ctx context.Context, body []byte) { _, _ = effect(ctx, key, body) }})
	if err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// List implements storage.Bucket. A fault ends the listing: at once, or for
// Truncated after some objects.
func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		var cut Hit
		if err := b.by.Intercept(ctx, Call{Op: List, Key: prefix, Make: func(_ context.Context, hit Hit) error { cut = hit; return nil }}); err != nil {
			yield(storage.Info{}, err)
			return
		}
		left := cut.part(maxListed)
		for info, err := range b.inner.List(ctx, prefix, after) {
			if cut.Fault == Truncated && left == 0 && err == nil {
				yield(storage.Info{}, cut.Failure(thalweg.Unavailable, List, prefix))
				return
			}
			left--
			if !yield(info, err) {
				return
			}
		}
	}
}

// maxListed is how many objects come before a listing breaks off, less one.
const maxListed = 8
