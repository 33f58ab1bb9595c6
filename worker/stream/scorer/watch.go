package scorer

import (
	"context"
	"time"

	"github.com/thalweg/thalweg/connectors"
)

// The topic is looked at by one small request now and then, and more often, by
// two, where nothing is fetched, which would tell.
const (
	watchEvery   = 15 * time.Second
	watchClosely = 2 * time.Second
)

// watched is what the last look at the topic told of the partition's end, which
// fetches tell while there are any.
type watched struct {
	topicID string
	end     int64
	err     error
	// at is the timestamp of the first event at or after the offset from, microseconds;
	// 0: not known. none: there is no such event, only what commits transactions.
	from, at int64
	none     bool
}

// watchTopic learns now and then how many partitions the topic has, and where
// this one ends while nothing is fetched of it: what piles up is to be seen.
func (r *runner) watchTopic() {
	m := r.machine
	idle, scored := m.slots.opened && !m.Busy(opFetch), m.slots.scoredTo()
	every := watchEvery
	if !m.Busy(opFetch) {
		every = watchClosely
	}
	r.spawn(func(ctx context.Context) func() event {
		topic, err := r.source.Topic(ctx)
		look := watched{end: -1}
		if idle {
			look = watched{topicID: topic.ID, end: -1, err: err}
			if err == nil {
				if _, next, err := r.source.Bounds(ctx, r.cfg.Partition); err != nil {
					look.err = err
				} else {
					look.end = next
					look.date(ctx, r.source, r.cfg.Partition, scored)
				}
			}
		}
		return func() event {
			if err == nil {
				r.partitions = topic.Partitions
			}
			r.watched = look
			r.work.Go(func() {
				timer := time.NewTimer(every)
				defer timer.Stop()
				select {
				case <-timer.C:
					r.results <- func() event { r.watchTopic(); return nil }
				case <-r.ctx.Done():
				}
			})
			return ticked{} // so that it is reported
		}
	})
}

// date asks for the time of the first event that is not scored, if there is one.
func (w *watched) date(ctx context.Context, source connectors.Source, partition int, scored int64) {
	d, dates := source.(connectors.Dater)
	if !dates || scored < 0 || scored >= w.end {
		return
	}
	// What fails here fails where it is fetched, too, which says so.
	if at, ok, err := d.TimeAt(ctx, partition, scored, w.topicID); err == nil {
		w.from, w.at, w.none = scored, at, !ok && at == 0
	}
}

// unknownTime is where it is not known how old the first event is that is not scored.
const unknownTime = -1

// oldest returns the timestamp of the first event that is not scored, microseconds since
// 1970 UTC; 0 if all are, unknownTime if that is not known.
func (r *runner) oldest(end int64) int64 {
	scored := r.machine.slots.scoredTo()
	if scored < 0 || end < 0 {
		return unknownTime
	}
	if scored >= end {
		return 0
	}
	if at, ok := r.backlog.Oldest(); ok {
		if at <= 0 { // its producer gave it none
			return unknownTime
		}
		return at
	}
	switch w := r.watched; {
	case w.from == scored && w.none:
		return 0
	case w.from == scored && w.at > 0:
		return w.at
	case r.newest > 0: // the next fetch tells: what it brings was written after this
		return r.newest
	}
	return unknownTime
}

// end returns the end of the partition that is known best, -1 for none, and why
// there is none.
func (r *runner) end() (end int64, why string) {
	m := r.machine
	switch w := r.watched; {
	case m.Busy(opFetch):
	case w.err != nil:
		return -1, "the topic's end is not known: " + w.err.Error()
	case w.end >= 0 && w.topicID != m.source.topicID:
		return -1, "the topic's end is not known: its name is that of another topic by now"
	case w.end > m.source.end:
		return w.end, ""
	}
	return m.source.end, ""
}
