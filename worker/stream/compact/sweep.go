package compact

import (
	"context"
	"maps"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Sweeper deletes the objects of scored rows that finished compactions have
// replaced. What it believes comes from the listing and from done records, so it
// finds what an owner that died left, and what a late request of a zombie put
// back, as well. It is used by one goroutine at a time.
type Sweeper struct {
	Bucket storage.Bucket
	Log    *commitlog.Log
	seen   map[uint64]*replaced // by slot of the compaction whose object is there
}

// replaced is what a finished compaction has made needless.
type replaced struct {
	slot  uint64 // of the compaction
	slots [2]uint64
	since time.Duration // when this process saw first that it was finished
}

// Sweep deletes what was replaced at least retention ago, and reports whether
// more is waiting. Time is measured from when this process saw it first: who
// reads an object for less than that is never in its way, however clocks differ.
func (s *Sweeper) Sweep(ctx context.Context, now, retention time.Duration) (deleted int, again bool, err error) {
	objects, err := s.look(ctx, now)
	if err != nil {
		return 0, false, err
	}
	for _, o := range objects {
		switch r := s.replaces(o.slot, o.merged); {
		case r == nil:
		case now < r.since+retention:
			again = true
		default:
			if err := s.Bucket.Delete(ctx, o.key); err != nil {
				return deleted, again, err
			}
			deleted++
		}
	}
	return deleted, again, nil
}

// object is one of scored rows.
type object struct {
	key    string
	slot   uint64
	merged bool
}

// look lists the objects, and finds the finished compactions that they are of.
// Compactions whose objects are gone were replaced themselves, by one that is there.
func (s *Sweeper) look(ctx context.Context, now time.Duration) (objects []object, err error) {
	there := make(map[uint64]bool)
	for info, err := range s.Bucket.List(ctx, s.Log.Layout().DataDir(), "") {
		if err != nil {
			return nil, err
		}
		slot, merged, ok := s.Log.Layout().SlotOf(info.Key)
		if !ok {
			continue
		}
		objects = append(objects, object{info.Key, slot, merged})
		if !merged || there[slot] {
			continue
		}
		there[slot] = true
		if s.seen[slot] != nil {
			continue
		}
		e, err := s.Log.Entry(ctx, slot)
		if thalweg.Is(err, thalweg.NotFound) {
			continue // not finished: nothing was replaced
		}
		if err != nil {
			return nil, err
		}
		if e.Intent.Action == commitlog.Compact {
			if s.seen == nil {
				s.seen = make(map[uint64]*replaced)
			}
			s.seen[slot] = &replaced{slot, e.Intent.Slots, now}
		}
	}
	maps.DeleteFunc(s.seen, func(slot uint64, _ *replaced) bool { return !there[slot] })
	return objects, nil
}

// replaces returns the compaction that has made the objects of a slot needless
// for longest, nil if none has.
func (s *Sweeper) replaces(slot uint64, merged bool) (oldest *replaced) {
	within := [2]uint64{slot, slot + 1}
	if merged {
		r := s.seen[slot]
		if r == nil {
			return nil // not finished
		}
		within = r.slots
	}
	for _, r := range s.seen {
		if r.slot > slot && r.slots[0] <= within[0] && within[1] <= r.slots[1] && (oldest == nil || r.since < oldest.since) {
			oldest = r
		}
	}
	return oldest
}
