package engine

import (
	"context"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// publication is the publishing of a claim. After truncation the topic has lost
// its events before FirstAvailable, and those that are Missing: then objects that
// exist are adopted, and may hold rows of what is lost; only offsets that no object
// holds are given up.
// DESIGN.md says why nobody can add to that afterwards but late files that no
// reader by log sees.
type publication struct {
	rows *Rows
	log  *commitlog.Log
	from int64 // of the claim
	done commitlog.Done
	held int64 // rows and dead letters of what is lost, in objects that are there
}

// partial reports whether the topic has lost events of the claim.
func (p *publication) partial() bool { return p.lostEvents() > 0 }

// lostEvents counts the offsets that the topic has lost.
func (p *publication) lostEvents() int64 {
	return max(0, p.rows.FirstAvailable-p.from) + int64(len(p.rows.Missing))
}

// isLost reports whether the topic has lost an offset.
func (p *publication) isLost(offset int64) bool {
	_, missing := slices.BinarySearch(p.rows.Missing, offset)
	return missing || offset < p.rows.FirstAvailable
}

// compare reports how many rows of what is lost an object that exists has before
// ours, and how it differs otherwise.
func (p *publication) compare(kind commitlog.ObjectKind, ours, theirs []byte) (before int64, err error) {
	mine := p.rows.Engine.Stored(kind, ours)
	if len(ours) == 0 {
		mine = noRows
	}
	return compareRows(mine, p.rows.Engine.Stored(kind, theirs), p.from, p.isLost)
}

// publish publishes an object of ours. existing is what stands in its place, if
// that are other bytes.
func (p *publication) publish(ctx context.Context, kind commitlog.ObjectKind, day string, rows int64, body []byte) (existing []byte, err error) {
	before := int64(0)
	o, err := p.log.Publish(ctx, kind, day, rows, body, func(theirs []byte) (err error) {
		existing = theirs
		before, err = p.compare(kind, body, theirs)
		return err
	})
	if err == nil {
		o.Rows += before
		p.done.Objects = append(p.done.Objects, o)
		p.held += before
	}
	return existing, err
}

// adopt takes over an object that exists and that we have no rows for.
func (p *publication) adopt(ctx context.Context, kind commitlog.ObjectKind, key string) (existing []byte, err error) {
	o, err := p.log.Adopt(ctx, kind, key, func(theirs []byte) (rows int64, err error) {
		existing = theirs
		return p.compare(kind, nil, theirs)
	})
	if err == nil {
		p.done.Objects = append(p.done.Objects, o)
		p.held += o.Rows
	}
	return existing, err
}

// adoptRows adopts the files of rows that others have published.
func (p *publication) adoptRows(ctx context.Context) error {
	keys, err := p.log.Found(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if slices.ContainsFunc(p.done.Objects, func(o commitlog.Object) bool { return o.Key == key }) {
			continue
		}
		if _, err := p.adopt(ctx, commitlog.Scored, key); err != nil {
			return err
		}
	}
	return nil
}

// deadLetters publishes the dead letters. Of a claim that has lost events it
// adopts those of others, or makes sure that nobody publishes any.
func (p *publication) deadLetters(ctx context.Context) error {
	r := p.rows
	r.adopted = nil
	switch {
	case r.Rejected > 0:
		existing, err := p.publish(ctx, commitlog.Dead, "", r.Rejected, r.dead.Bytes())
		if p.partial() {
			r.adopted = existing
		}
		return err
	case p.partial() && p.held < p.lostEvents():
		free, err := p.log.Reserve(ctx)
		if err == nil && !free {
			r.adopted, err = p.adopt(ctx, commitlog.Dead, p.log.DeadKey())
		}
		return err
	}
	return nil
}

// noRows is what an object holds that is not there.
func noRows(func(StoredRow, error) bool) {}
