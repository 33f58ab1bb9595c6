package schedule

import (
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Worker is what the leader knows of a worker.
type Worker struct {
	ID          thalweg.WorkerID
	Incarnation string // of its process
	Address     string // where it serves its peers
	Slots       int    // tasks it can run at once; 0 takes none of any kind
	NoRoom      bool   // its disk was full: it takes no tasks of runs
	LastSeen    time.Time
	MemoryBytes int64 // that its process may use; 0: not known
	// Silent is since when no poll of it has been open, zero while one is. Unreachable is
	// whether a peer told since then that its connections to it break.
	Silent      time.Time
	Unreachable bool
	// RestsUntil is when a worker that began anew again and again takes leases again.
	RestsUntil time.Time
}

// brokenAfter is how long a worker that its peers cannot reach may have no poll open: one
// that lives polls again within milliseconds, also on a machine that is loaded.
const brokenAfter = 500 * time.Millisecond

// broken reports whether the process of a worker is gone as far as can be told: peers cannot
// reach it, and it does not poll. That it is wrong costs a move and harms nothing, since a
// replica's contributions are the same wherever they are made, and reports are fenced.
func (w Worker) broken(now time.Time) bool {
	return w.Unreachable && !w.Silent.IsZero() && now.Sub(w.Silent) >= brokenAfter
}

// Liveness is what the leader knows beside the log: it starts empty with each
// leadership.
type Liveness struct {
	// LeaderSince is when this leadership began. Workers that hold leases get one
	// LeaseTTL from then to call.
	LeaderSince time.Time
	LeaseTTL    time.Duration
	Workers     map[thalweg.WorkerID]Worker
	// Behind is how long ago the first event of a stream was written that is not scored,
	// of its partition that is furthest behind; streams of which it is not known are not
	// in it.
	Behind map[thalweg.PipelineName]time.Duration
	// Reached is the newest exchange that the training of a run has come to.
	Reached map[thalweg.RunID]uint64
}

// Lost reports whether a worker has been silent for so long that its leases end.
// Everyone counts as having called when the leadership began.
func (l Liveness) Lost(w thalweg.WorkerID, now time.Time) bool {
	seen := l.Workers[w].LastSeen
	if seen.Before(l.LeaderSince) {
		seen = l.LeaderSince
	}
	return now.Sub(seen) > l.LeaseTTL
}

// lost returns the command that ends leases of a worker whose process is gone.
func (l Liveness) lost(w thalweg.WorkerID, held []*state.Task) *state.ReleaseLeases {
	c := state.Release(w, held...)
	for _, t := range held {
		if t.IsReplica() && l.Reached[t.Run.ID] > 0 {
			if c.Reached == nil {
				c.Reached = make(map[thalweg.RunID]uint64)
			}
			c.Reached[t.Run.ID] = l.Reached[t.Run.ID]
		}
	}
	return c
}

// Alive counts the workers that take tasks and were heard of within a lease's time, and those
// of them that have room for what tasks of runs write to disk. A new leader counts those that
// have called it.
func (l Liveness) Alive(now time.Time) (alive, roomy int) {
	live := l.live(now)
	for _, w := range live {
		if !w.NoRoom {
			roomy++
		}
	}
	return len(live), roomy
}

// live returns the workers that can be given tasks. One that flaps rests, unless there is
// no other.
func (l Liveness) live(now time.Time) (live []Worker) {
	var resting []Worker
	for _, w := range l.Workers {
		switch {
		case w.Slots <= 0 || now.Sub(w.LastSeen) > l.LeaseTTL || w.broken(now):
		case now.Before(w.RestsUntil):
			resting = append(resting, w)
		default:
			live = append(live, w)
		}
	}
	if len(live) == 0 {
		return resting
	}
	return live
}
