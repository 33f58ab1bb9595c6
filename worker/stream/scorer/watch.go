package scorer

import (
	"context"
	"time"
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
}

// watchTopic learns now and then how many partitions the topic has, and where
// this one ends while nothing is fetched of it: what piles up is to be seen.
func (r *runner) watchTopic() {
	m := r.machine
	idle := m.slots.opened && !m.Busy(opFetch)
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
