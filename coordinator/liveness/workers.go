package liveness

import (
	"maps"
	"slices"
	"time"

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
	known := l.Snapshot()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.mu.workers)) {
		w := l.mu.workers[id]
		v := &apiv1.Worker{Id: string(id), Address: w.Address, State: Alive, LastSeenUnixMs: w.LastSeen.UnixMilli(), Slots: uint32(w.Slots)}
		if t := w.told; t != nil {
			v.Version, v.Cores, v.MemoryBytes, v.CertificateExpiresAtUnixMs = t.Version, t.Cores, t.MemoryBytes, t.CertificateExpiresAtUnixMs
		}
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
