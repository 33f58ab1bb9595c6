// Package schedule plans who works on what. Plan is a pure function of the
// replicated state, of what the leader knows of the workers, and of the time:
// it answers with commands for the log and changes nothing itself. What it
// decides is safe for any input, since the state fences by tokens; schedule is
// about progress and even load.
package schedule

import (
	"cmp"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Config sets the times of planning.
type Config struct {
	// LeaseTTL is how long a worker may be silent before its leases end. Default
	// 5 s: above a garbage collection, a leader change and a lost packet, below
	// what an operator waits for.
	LeaseTTL time.Duration
	// RetryMin and RetryMax bound the wait before a failed topic partition is
	// leased again; it doubles with each failure in a row. Defaults 500 ms and
	// 30 s.
	RetryMin, RetryMax time.Duration
}

// WithDefaults returns c with every zero field set.
func (c Config) WithDefaults() Config {
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 5*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, 500*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, 30*time.Second)
	return c
}

// Worker is what the leader knows of a worker.
type Worker struct {
	ID          thalweg.WorkerID
	Incarnation string // of its process
	Address     string // where it serves its peers
	Slots       int    // tasks it can run at once; 0 takes none of any kind
	LastSeen    time.Time
}

// Liveness is what the leader knows beside the log: it starts empty with each
// leadership.
type Liveness struct {
	// LeaderSince is when this leadership began. Workers that hold leases get one
	// LeaseTTL from then to call.
	LeaderSince time.Time
	Workers     map[thalweg.WorkerID]Worker
}

// Plan returns the commands that move the state on at the time now: the expiry
// of silent workers, the registration of runs that have come to it, and, when poll names
// the worker that is asking for work, its leases. When commands were applied,
// plan again: one plan's result may make room for another.
func Plan(s *state.State, l Liveness, now time.Time, poll thalweg.WorkerID, cfg Config) []state.Command {
	var commands []state.Command
	for _, w := range s.Holders() {
		if now.Sub(lastSeen(l, w)) > cfg.LeaseTTL {
			commands = append(commands, &state.ExpireWorker{Worker: w, UpTo: thalweg.Token(s.Index())})
		}
	}
	for _, r := range s.ActiveRuns() {
		if r.Current().Over == stages.OverNothing {
			commands = append(commands, &state.RegisterModel{Run: r.ID})
		}
	}
	w, known := l.Workers[poll]
	if !known || len(commands) > 0 {
		return commands
	}
	if stale := staleLeases(s, w); stale != nil {
		return []state.Command{stale}
	}
	p := newPlan(s, l, now, w, cfg)
	if !p.isLive(w.ID) {
		return nil
	}
	grants := p.batchTasks()
	grants = append(grants, p.replicas()...)
	partitions := p.partitions()
	grants = append(grants, partitions...)
	if len(grants) > 0 {
		commands = append(commands, &state.GrantLeases{Worker: w.ID, Incarnation: w.Incarnation, Address: w.Address, Grants: grants})
	}
	if len(partitions) == 0 {
		if move := p.rebalance(); move != nil {
			commands = append(commands, move)
		}
	}
	return commands
}

// Lost reports whether the leader counts a worker as lost.
func Lost(l Liveness, w thalweg.WorkerID, now time.Time, cfg Config) bool {
	return now.Sub(lastSeen(l, w)) > cfg.LeaseTTL
}

// lastSeen returns when a worker last called this leader; everyone counts as
// having called when it began.
func lastSeen(l Liveness, w thalweg.WorkerID) time.Time {
	if seen := l.Workers[w].LastSeen; seen.After(l.LeaderSince) {
		return seen
	}
	return l.LeaderSince
}

// staleLeases gives back what an earlier process of the polling worker held:
// the new one knows nothing of it.
func staleLeases(s *state.State, w Worker) state.Command {
	var stale []state.Release
	for _, t := range s.HeldBy(w.ID) {
		if t.Incarnation != w.Incarnation {
			stale = append(stale, state.Release{Task: t.ID, Token: t.Token})
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return &state.ReleaseLeases{Leases: stale, Lost: true}
}

// plan is what one call of Plan looks at.
type plan struct {
	s    *state.State
	cfg  Config
	now  time.Time
	me   Worker
	live []*load // in order of their IDs
}

// load is what a live worker holds.
type load struct {
	Worker
	batch int // tasks that take a slot: neither replicas nor partitions
	held  []*state.Task
}

func newPlan(s *state.State, l Liveness, now time.Time, me Worker, cfg Config) *plan {
	p := &plan{s: s, cfg: cfg, now: now, me: me}
	for _, w := range l.Workers {
		if w.Slots > 0 && now.Sub(w.LastSeen) <= cfg.LeaseTTL {
			p.live = append(p.live, &load{Worker: w})
		}
	}
	// Holders that have not called this leader yet still have time to: they count,
	// so that their share is not given away.
	for _, id := range s.Holders() {
		if _, known := l.Workers[id]; !known && now.Sub(l.LeaderSince) <= cfg.LeaseTTL {
			p.live = append(p.live, &load{Worker: Worker{ID: id}})
		}
	}
	slices.SortFunc(p.live, func(a, b *load) int { return cmp.Compare(a.ID, b.ID) })
	for _, l := range p.live {
		l.held = s.HeldBy(l.ID)
		for _, t := range l.held {
			if takesSlot(t) {
				l.batch++
			}
		}
	}
	return p
}

// takesSlot tells tasks that run to their end and count against a worker's slots
// from those that have to run side by side: all replicas of a training wait for
// each other in every round, and a partition's scorer never ends.
func takesSlot(t *state.Task) bool { return !t.IsReplica() && !t.IsPartition() }

func (p *plan) isLive(w thalweg.WorkerID) bool {
	return slices.ContainsFunc(p.live, func(l *load) bool { return l.ID == w })
}

// avoids reports whether a task should wait for another worker than me: it
// failed here, and a live worker is left on which it did not.
func (p *plan) avoids(t *state.Task) bool {
	return t.FailedOn(p.me.ID) && slices.ContainsFunc(p.live, func(l *load) bool { return !t.FailedOn(l.ID) })
}

func grant(t *state.Task) state.Grant { return state.Grant{Task: t.ID, After: t.Token} }
