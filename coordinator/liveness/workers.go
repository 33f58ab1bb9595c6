package liveness

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// The states of a worker, as shown.
const (
	Alive = "alive"
	Lost  = "lost"
)

// Workers returns the workers that this leader has heard of, what they told of themselves
// and what they hold, in order of their names.
func (l *Liveness) Workers(s *state.State, now time.Time) (workers []*apiv1.Worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.snapshotLocked()
	for _, id := range slices.Sorted(maps.Keys(l.mu.workers)) {
		w := l.mu.workers[id]
		v := proto.CloneOf(w.told)
		v.Id, v.Address, v.State, v.LastSeenUnixMs, v.Slots = string(id), w.Address, Alive, w.LastSeen.UnixMilli(), uint32(w.Slots)
		v.NoRoom = w.NoRoom
		if known.Lost(id, now) {
			v.State = Lost
		}
		for _, t := range s.HeldBy(id) {
			v.Leases++
			if t.IsPartition() {
				v.Partitions++
			} else {
				v.Tasks++
			}
		}
		workers = append(workers, v)
	}
	return workers
}
