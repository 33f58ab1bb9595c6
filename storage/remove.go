package storage

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	removeBatch = 1000 // objects listed before they are removed: a page of S3
	removers    = 16   // requests at once
)

// Removed is how much was removed.
type Removed struct{ Objects, Bytes int64 }

// Add counts what else was removed.
func (r *Removed) Add(o Removed) { r.Objects, r.Bytes = r.Objects+o.Objects, r.Bytes+o.Bytes }

// Remove deletes the objects below a prefix that chosen reports true for, batch by
// batch; what is left after an error, another call removes.
func Remove(ctx context.Context, b Bucket, prefix string, chosen func(key string) bool) (Removed, error) {
	var done Removed
	for after := ""; ; {
		var batch []Info
		for info, err := range b.List(ctx, prefix, after) {
			if err != nil {
				return done, err
			}
			after = info.Key
			if chosen(info.Key) {
				if batch = append(batch, info); len(batch) == removeBatch {
					break
				}
			}
		}
		removed, err := removeAll(ctx, b, batch)
		done.Add(removed)
		if err != nil || len(batch) < removeBatch {
			return done, err
		}
	}
}

func removeAll(ctx context.Context, b Bucket, batch []Info) (done Removed, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removers)
	for _, info := range batch {
		g.Go(func() error {
			if err := b.Delete(ctx, info.Key); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done.Add(Removed{1, info.SizeBytes})
			return nil
		})
	}
	err = g.Wait()
	return done, err
}
