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
	seen   map[uint64]replaced // by slots of compactions whose objects are there
}

// replaced is what a finished compaction has made needless.
type replaced struct {
	slots [2]uint64
	since time.Duration // when this process saw first that it was finished
}

// Sweep deletes what was replaced at least retention ago, and reports whether
// there was any, or more is waiting. Time is measured from when this process saw it first: who
// reads an object for less than that is never in its way, however clocks differ.
func (s *Sweeper) Sweep(ctx context.Context, now, retention time.Duration) (again bool, err error) {
	objects, err := s.look(ctx, now)
	if err != nil {
		return false, err
	}
	for _, o := range objects {
		since, ok := s.replacedSince(o)
		if again = again || ok; ok && now >= since+retention {
			if err := s.Bucket.Delete(ctx, o.key); err != nil {
				return again, err
			}
		}
	}
	return again, nil
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
		if _, known := s.seen[slot]; known {
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
				s.seen = make(map[uint64]replaced)
			}
			s.seen[slot] = replaced{e.Intent.Slots, now}
		}
	}
	maps.DeleteFunc(s.seen, func(slot uint64, _ replaced) bool { return !there[slot] })
	return objects, nil
}

// replacedSince returns since when a finished compaction has made an object needless,
// the first that has, ok false if none has.
func (s *Sweeper) replacedSince(o object) (since time.Duration, ok bool) {
	within := [2]uint64{o.slot, o.slot + 1}
	if o.merged {
		own, finished := s.seen[o.slot]
		if !finished {
			return 0, false
		}
		within = own.slots
	}
	for slot, r := range s.seen {
		if slot > o.slot && r.slots[0] <= within[0] && within[1] <= r.slots[1] && (!ok || r.since < since) {
			since, ok = r.since, true
		}
	}
	return since, ok
}
