package scorer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// sweeper deletes the objects of scored rows that finished compactions have
// replaced. What it believes comes from the listing and from done records, so it
// finds what an owner that died left, and what a late request of a zombie put
// back, as well. It is used by one goroutine at a time.
type sweeper struct {
	bucket storage.Bucket
	log    *commitlog.Log
	seen   map[uint64]*replaced // by slot of the compaction whose object is there
}

// replaced is what a finished compaction has made needless.
type replaced struct {
	slot  uint64 // of the compaction
	slots [2]uint64
	since time.Duration // when this process saw first that it was finished
}

// note says when a compaction was finished.
func (s *sweeper) note(r replaced) {
	if s.seen == nil {
		s.seen = make(map[uint64]*replaced)
	}
	if s.seen[r.slot] == nil {
		s.seen[r.slot] = &r
	}
}

// sweep deletes what was replaced at least retention ago, and reports whether
// more is waiting. Time is measured from when this process saw it first: who
// reads an object for less than that is never in its way, however clocks differ.
func (s *sweeper) sweep(ctx context.Context, now, retention time.Duration) (deleted int, again bool, err error) {
	if err := s.look(ctx, now); err != nil {
		return 0, false, err
	}
	families := s.families()
	for info, err := range s.bucket.List(ctx, s.log.Layout().DataDir(), "") {
		if err != nil {
			return deleted, again, err
		}
		slot, merged, ok := s.log.Layout().SlotOf(info.Key)
		if !ok {
			continue
		}
		r := s.replaces(families, slot, merged)
		switch {
		case r == nil:
		case now < r.since+retention:
			again = true
		default:
			if err := s.bucket.Delete(ctx, info.Key); err != nil {
				return deleted, again, err
			}
			deleted++
		}
	}
	return deleted, again, nil
}

// look finds the finished compactions whose objects are there. Those that are
// not were replaced themselves, by one that is.
func (s *sweeper) look(ctx context.Context, now time.Duration) error {
	there := make(map[uint64]bool)
	for info, err := range s.bucket.List(ctx, s.log.Layout().DataDir(), "") {
		if err != nil {
			return err
		}
		slot, merged, ok := s.log.Layout().SlotOf(info.Key)
		if !ok || !merged || there[slot] {
			continue
		}
		there[slot] = true
		if s.seen[slot] != nil {
			continue
		}
		e, err := s.log.Entry(ctx, slot)
		if thalweg.Is(err, thalweg.NotFound) {
			continue // not finished: nothing was replaced
		}
		if err != nil {
			return err
		}
		if e.Intent.Action == commitlog.Compact {
			s.note(replaced{slot, e.Intent.Slots, now})
		}
	}
	for slot := range s.seen {
		if !there[slot] {
			delete(s.seen, slot)
		}
	}
	return nil
}

// families returns the compactions whose rows are not in a later one, in order,
// each followed by those that are in it. Ranges of compactions are nested or
// apart, so one of each family has the whole range.
func (s *sweeper) families() [][]*replaced {
	all := make([]*replaced, 0, len(s.seen))
	for _, r := range s.seen {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *replaced) int {
		return cmp.Or(cmp.Compare(a.slots[0], b.slots[0]), cmp.Compare(b.slots[1], a.slots[1]), cmp.Compare(b.slot, a.slot))
	})
	var families [][]*replaced
	for _, r := range all {
		if n := len(families); n > 0 && r.slots[0] < families[n-1][0].slots[1] {
			families[n-1] = append(families[n-1], r)
		} else {
			families = append(families, []*replaced{r})
		}
	}
	return families
}

// replaces returns the compaction that has made the objects of a slot needless
// for longest, nil if none has.
func (s *sweeper) replaces(families [][]*replaced, slot uint64, merged bool) (oldest *replaced) {
	within := [2]uint64{slot, slot + 1}
	if merged {
		r := s.seen[slot]
		if r == nil {
			return nil // not finished
		}
		within = r.slots
	}
	at, found := slices.BinarySearchFunc(families, within[0], func(f []*replaced, first uint64) int { return cmp.Compare(f[0].slots[0], first) })
	if !found {
		at--
	}
	if at < 0 {
		return nil
	}
	for _, r := range families[at] {
		if r.slot > slot && r.slots[0] <= within[0] && within[1] <= r.slots[1] && (oldest == nil || r.since < oldest.since) {
			oldest = r
		}
	}
	return oldest
}
