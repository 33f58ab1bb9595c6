package engine

import (
	"context"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// publishPartial publishes a claim after truncation: the topic has lost its events
// before FirstAvailable. Objects that exist are adopted, and may hold rows of what
// is lost; only offsets that no object holds are given up. DESIGN.md says why
// nobody can add to that afterwards but late files that no reader by log sees.
func (r *Rows) publishPartial(ctx context.Context, log *commitlog.Log, from int64) (commitlog.Done, error) {
	var objects []commitlog.Object
	held := int64(0) // rows and dead letters of what is lost, in objects that are there
	compare := func(kind commitlog.ObjectKind, ours, theirs []byte) (before int64, err error) {
		mine := r.Engine.Stored(kind, ours)
		if len(ours) == 0 {
			mine = noRows
		}
		return compareRows(mine, r.Engine.Stored(kind, theirs), from, r.FirstAvailable)
	}
	add := func(o commitlog.Object, before int64) {
		objects = append(objects, o)
		held += before
	}
	adopt := func(kind commitlog.ObjectKind, key string) ([]byte, error) {
		var body []byte
		o, err := log.Adopt(ctx, kind, key, func(existing []byte) (rows int64, err error) {
			body = existing
			return compare(kind, nil, existing)
		})
		if err == nil {
			add(o, o.Rows)
		}
		return body, err
	}

	for _, f := range r.encoded {
		before := int64(0)
		o, err := log.Publish(ctx, commitlog.Scored, f.Day, f.Rows, f.Body, func(existing []byte) (err error) {
			before, err = compare(commitlog.Scored, f.Body, existing)
			return err
		})
		if err != nil {
			return commitlog.Done{}, err
		}
		o.Rows += before
		add(o, before)
	}
	keys, err := log.Found(ctx)
	if err != nil {
		return commitlog.Done{}, err
	}
	for _, key := range keys {
		if slices.ContainsFunc(objects, func(o commitlog.Object) bool { return o.Key == key }) {
			continue
		}
		if _, err := adopt(commitlog.Scored, key); err != nil {
			return commitlog.Done{}, err
		}
	}

	r.adopted = nil
	switch {
	case r.Rejected > 0:
		before := int64(0)
		o, err := log.Publish(ctx, commitlog.Dead, "", r.Rejected, r.dead.Bytes(), func(existing []byte) (err error) {
			if before, err = compare(commitlog.Dead, r.dead.Bytes(), existing); err == nil {
				r.adopted = existing
			}
			return err
		})
		if err != nil {
			return commitlog.Done{}, err
		}
		o.Rows += before
		add(o, before)
	case held < r.FirstAvailable-from:
		free, err := log.Reserve(ctx)
		if err == nil && !free {
			r.adopted, err = adopt(commitlog.Dead, log.DeadKey())
		}
		if err != nil {
			return commitlog.Done{}, err
		}
	}
	return log.Partial(objects, [2]int64{from, r.FirstAvailable}, r.Gaps...)
}

// noRows is what an object holds that is not there.
func noRows(func(StoredRow, error) bool) {}
