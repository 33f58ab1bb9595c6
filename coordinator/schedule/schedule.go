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

// Plan returns the commands that move the state on at the time now: the expiry
// of silent workers, the registration of runs that have come to it, and, when poll names
// the worker that is asking for work, its leases. When commands were applied,
// plan again: one plan's result may make room for another.
func Plan(s *state.State, l Liveness, now time.Time, poll thalweg.WorkerID) []state.Command {
	var commands []state.Command
	for _, w := range s.Holders() {
		switch {
		case l.Lost(w, now):
			commands = append(commands, l.lost(w, s.HeldBy(w)))
		case l.Workers[w].broken(now):
			// Who waits for replicas waits for nobody: they are built again elsewhere at once.
			// All other leases end as ever.
			if held := slices.DeleteFunc(s.HeldBy(w), func(t *state.Task) bool { return !t.IsReplica() }); len(held) > 0 {
				commands = append(commands, l.lost(w, held))
			}
		}
	}
	for _, r := range s.ActiveRuns() {
		if r.Current().Over == stages.OverNothing {
			commands = append(commands, &state.RegisterModel{Run: r.ID})
		}
	}
	if poll == "" {
		commands = append(commands, wanted(s, l, now)...)
	}
	w, known := l.Workers[poll]
	if !known || len(commands) > 0 {
		return commands
	}
	// An earlier process of the worker held leases that the new one does not know of.
	stale := slices.DeleteFunc(s.HeldBy(w.ID), func(t *state.Task) bool { return t.Incarnation == w.Incarnation })
	if len(stale) > 0 {
		return []state.Command{l.lost(w.ID, stale)}
	}
	p := newPlan(s, l, now, poll)
	if p.me == nil {
		return nil
	}
	p.jobs()
	p.batchTasks()
	p.replicas()
	moves := p.partitions() == 0
	if slow := p.straggler(l.LeaseTTL); slow != nil {
		commands = append(commands, &state.GrantBackup{Worker: w.ID, Incarnation: w.Incarnation, Slow: slow.Lease()})
	}
	if len(p.grants) > 0 {
		commands = append(commands, &state.GrantLeases{Worker: w.ID, Incarnation: w.Incarnation, Address: w.Address, Grants: p.grants})
	}
	if moves {
		commands = append(commands, p.rebalance()...)
	}
	return commands
}

// plan is what one call of Plan looks at, and what it grants.
type plan struct {
	s      *state.State
	now    time.Time
	runs   []*state.Run                  // that are going, and have as many live workers as they ask for
	me     *load                         // of the polling worker; nil if it takes nothing
	live   []*load                       // in order of their IDs
	late   map[thalweg.PipelineName]bool // streams that are to catch up
	grants []state.Lease
	reads  uint32 // partials that tasks of the polling worker read
	on     map[*state.Run]workers
}

// workers are those that hold tasks of a run, and how many tasks these are.
type workers struct {
	ids   map[thalweg.WorkerID]bool
	tasks int
}

// load is what a live worker holds.
type load struct {
	Worker
	batch      int // tasks that take a slot (takesSlot)
	partitions int
	held       []*state.Task
}

func newPlan(s *state.State, l Liveness, now time.Time, me thalweg.WorkerID) *plan {
	p := &plan{s: s, now: now, late: late(s, l), on: make(map[*state.Run]workers)}
	live := l.live(now)
	p.runs = slices.DeleteFunc(s.ActiveRuns(), func(r *state.Run) bool { return r.Current().Waits(len(live)) })
	for _, w := range live {
		p.live = append(p.live, &load{Worker: w})
	}
	// Holders that have not called this leader yet still have time to: they count,
	// so that their share is not given away.
	for _, id := range s.Holders() {
		if _, known := l.Workers[id]; !known && now.Sub(l.LeaderSince) <= l.LeaseTTL {
			p.live = append(p.live, &load{Worker: Worker{ID: id}})
		}
	}
	slices.SortFunc(p.live, func(a, b *load) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range s.Holders() {
		if _, lives := slices.BinarySearchFunc(p.live, id, func(l *load, id thalweg.WorkerID) int { return cmp.Compare(l.ID, id) }); !lives {
			p.note(id, s.HeldBy(id))
		}
	}
	for _, l := range p.live {
		l.held = s.HeldBy(l.ID)
		p.note(l.ID, l.held)
		l.partitions = count(l.held, (*state.Task).IsPartition)
		l.batch = count(l.held, takesSlot)
		if l.ID != me {
			continue
		}
		p.me = l
		for _, t := range l.held {
			p.reads += readsOf(t)
		}
	}
	return p
}

// note counts the tasks of runs that a worker holds.
func (p *plan) note(id thalweg.WorkerID, held []*state.Task) {
	for _, t := range held {
		if t.Run == nil {
			continue
		}
		of := p.on[t.Run]
		if of.ids == nil {
			of.ids = make(map[thalweg.WorkerID]bool)
		}
		of.ids[id] = true
		of.tasks++
		p.on[t.Run] = of
	}
}

// takesSlot tells tasks that run to their end and count against a worker's slots
// from those that have to run side by side: all replicas of a training wait for
// each other in every round, a partition's scorer never ends, and somebody waits for a job.
func takesSlot(t *state.Task) bool { return !t.IsReplica() && !t.IsPartition() && t.Job == nil }

// take grants waiting tasks to the polling worker, n at most and no more than an
// answer can name partials for, and returns how many.
func (p *plan) take(tasks []*state.Task, n int) int {
	taken := 0
	for _, t := range tasks {
		if taken >= n {
			break
		}
		if t.State == state.TaskWaiting && t.Backup == nil && p.reads+readsOf(t) <= state.MaxHeldPartials && !p.avoids(t) {
			p.grants = append(p.grants, t.Lease())
			p.reads += readsOf(t)
			taken++
		}
	}
	return taken
}

// avoids reports whether a task should wait for another worker than the polling
// one: it failed there, and a live worker that takes such is left on which it did not.
func (p *plan) avoids(t *state.Task) bool {
	return t.FailedOn(p.me.ID) && slices.ContainsFunc(p.live, func(l *load) bool { return !t.FailedOn(l.ID) && (t.Run == nil || p.may(l, t.Run)) })
}

// readsOf counts the partials that a task reads.
func readsOf(t *state.Task) uint32 {
	if t.Stage == nil {
		return 0
	}
	return t.Stage.Reads(t)
}

func count(tasks []*state.Task, counts func(*state.Task) bool) int {
	n := 0
	for _, t := range tasks {
		if counts(t) {
			n++
		}
	}
	return n
}
