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

// Planned is a command, and the worker whose poll it answers; none if it concerns the cluster.
type Planned struct {
	state.Command
	For thalweg.WorkerID
}

// Round plans for all workers that poll at a time, so that what there is to look at is looked
// at once, and not once for each of them. It holds for the state and the liveness that it was
// made of, and until it has planned anything.
type Round struct {
	s       *state.State
	l       Liveness
	now     time.Time
	runs    []*run                        // that are going, and have as many live workers as they ask for
	live    []*load                       // in order of their IDs
	alive   int                           // of them, that have called this leader
	byID    map[thalweg.WorkerID]*load    // of live
	late    map[thalweg.PipelineName]bool // streams that are to catch up
	jobs    []*state.Task                 // that wait
	streams *tasks                        // partitions; nil: not looked at yet
	serves  map[*load]int                 // endpoints that workers hold; nil: not looked at yet
	taken   map[*state.Task]bool          // granted by this round
	most    *load                         // who holds most partitions; nil: not looked at yet
	moved   bool                          // it has taken a partition from a worker
	planned []Planned

	// Of the worker that is planned for:
	me     *load
	grants []state.Lease
	reads  uint32 // partials that its tasks read
}

// run is a run that is going, with what its current stage has to give.
type run struct {
	*state.Run
	stage *state.Stage
	tasks
	leased  int                      // tasks of the stage that are leased
	on      map[thalweg.WorkerID]int // tasks of the run that each worker holds
	all     int                      // of them
	helpers int                      // workers that could help with the stage; 0: not counted yet
	slow    []*state.Task            // that have taken too long, the slowest first
	counted bool                     // slow is known
	moved   bool                     // it has taken replicas from workers
}

// tasks are those that wait, and who has how many of their kind.
type tasks struct {
	waiting []*state.Task
	*share  // nil: not counted yet
}

// load is what a live worker holds, and is granted by the round.
type load struct {
	Worker
	batch      int // tasks that take a slot (takesSlot)
	partitions int
	held       []*state.Task
	may        map[*run]bool // what Round.may knows of it, whatever other workers the runs have
}

// NewRound looks at the state and at what is known of the workers, at the time now.
func NewRound(s *state.State, l Liveness, now time.Time) *Round {
	p := &Round{s: s, l: l, now: now, late: late(s, l), jobs: s.WaitingJobs(), byID: make(map[thalweg.WorkerID]*load), taken: make(map[*state.Task]bool)}
	live := l.live(now)
	p.alive = len(live)
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
	for _, r := range s.ActiveRuns() {
		if !r.Current().Waits(p.alive) {
			p.runs = append(p.runs, newRun(r))
		}
	}
	for _, id := range s.Holders() {
		for _, t := range s.HeldBy(id) {
			p.note(id, t)
		}
	}
	for _, l := range p.live {
		p.byID[l.ID] = l
		l.held = s.HeldBy(l.ID)
		l.partitions = count(l.held, (*state.Task).IsPartition)
		l.batch = count(l.held, takesSlot)
	}
	return p
}

func newRun(r *state.Run) *run {
	of := &run{Run: r, stage: r.Current(), on: make(map[thalweg.WorkerID]int)}
	for _, t := range of.stage.Tasks {
		switch {
		case t.State == state.TaskWaiting && t.Backup == nil:
			of.waiting = append(of.waiting, t)
		case t.State == state.TaskLeased:
			of.leased++
		}
	}
	return of
}

// runOf returns the run of a task, nil if it has none that is going.
func (p *Round) runOf(t *state.Task) *run {
	if i := slices.IndexFunc(p.runs, func(r *run) bool { return r.Run == t.Run }); i >= 0 {
		return p.runs[i]
	}
	return nil
}

// note counts a task that a worker holds.
func (p *Round) note(id thalweg.WorkerID, t *state.Task) {
	if r := p.runOf(t); r != nil {
		r.on[id]++
		r.all++
	}
}

// Alive counts the workers that are alive and take tasks.
func (p *Round) Alive() int { return p.alive }

// Plan returns the commands that move the state on: the expiry of silent workers, the
// registration of runs that have come to it, and, if there are none of these, the leases of
// the workers that poll. Without any poll, it is about the cluster alone. When commands were
// applied, plan another round: one round's result may make room for more.
func (p *Round) Plan(polls ...thalweg.WorkerID) []Planned {
	p.ofCluster(len(polls) == 0)
	if len(p.planned) > 0 {
		return p.planned
	}
	for _, id := range polls {
		if w, known := p.l.Workers[id]; known {
			p.ofWorker(w)
		}
	}
	return p.planned
}

func (p *Round) add(worker thalweg.WorkerID, c state.Command) {
	p.planned = append(p.planned, Planned{c, worker})
}

// ofCluster plans what concerns no poll, and what streams want if there is none.
func (p *Round) ofCluster(alone bool) {
	for _, w := range p.s.Holders() {
		switch {
		case p.l.Lost(w, p.now):
			p.add("", p.l.lost(w, p.s.HeldBy(w)))
		case p.l.Workers[w].broken(p.now):
			// Who waits for replicas waits for nobody: they are built again elsewhere at once.
			// All other leases end as ever.
			if held := slices.DeleteFunc(p.s.HeldBy(w), func(t *state.Task) bool { return !t.IsReplica() }); len(held) > 0 {
				p.add("", p.l.lost(w, held))
			}
		}
	}
	for _, r := range p.s.ActiveRuns() {
		if r.Current().Over == stages.OverNothing {
			p.add("", &state.RegisterModel{Run: r.ID})
		}
	}
	if alone {
		for _, c := range wanted(p.s, p.l, p.now) {
			p.add("", c)
		}
	}
}

// ofWorker plans what a worker that polls is to have.
func (p *Round) ofWorker(w Worker) {
	// An earlier process of the worker held leases that the new one does not know of.
	stale := slices.DeleteFunc(p.s.HeldBy(w.ID), func(t *state.Task) bool { return t.Incarnation == w.Incarnation })
	if len(stale) > 0 {
		p.add(w.ID, p.l.lost(w.ID, stale))
		return
	}
	if p.me = p.byID[w.ID]; p.me == nil {
		return // it takes nothing
	}
	p.grants, p.reads = nil, 0
	for _, t := range p.me.held {
		p.reads += readsOf(t)
	}
	p.takeJobs()
	p.batchTasks()
	p.replicas()
	p.endpoints()
	moves := p.partitions() == 0
	if slow := p.straggler(); slow != nil {
		p.taken[slow] = true
		p.note(w.ID, slow) // the backup is on its worker too
		p.me.batch++
		p.add(w.ID, &state.GrantBackup{Worker: w.ID, Incarnation: w.Incarnation, Slow: slow.Lease()})
	}
	if len(p.grants) > 0 {
		p.add(w.ID, &state.GrantLeases{Worker: w.ID, Incarnation: w.Incarnation, Address: w.Address, Grants: p.grants})
	}
	if moves {
		p.rebalance()
	}
	p.even()
}

// takesSlot tells tasks that run to their end and count against a worker's slots
// from those that have to run side by side: all replicas of a training wait for
// each other in every round, a partition's scorer and an endpoint never end, and somebody
// waits for a job.
func takesSlot(t *state.Task) bool {
	return !t.IsReplica() && !t.IsPartition() && !t.IsEndpoint() && t.Job == nil
}

// take grants tasks that wait to the polling worker, n at most and no more than an
// answer can name partials for, and returns how many.
func (p *Round) take(waiting []*state.Task, n int) int {
	taken := 0
	for _, t := range waiting {
		if taken >= n {
			break
		}
		if !p.taken[t] && p.reads+readsOf(t) <= state.MaxHeldPartials && !p.avoids(t) {
			p.taken[t] = true
			p.grants = append(p.grants, t.Lease())
			p.reads += readsOf(t)
			p.me.held = append(p.me.held, t)
			p.note(p.me.ID, t)
			taken++
		}
	}
	if taken > 0 {
		p.me.batch, p.me.partitions = count(p.me.held, takesSlot), count(p.me.held, (*state.Task).IsPartition)
		clear(p.me.may)
	}
	return taken
}

// avoids reports whether a task should wait for another worker than the polling
// one: it failed there, and a live worker that takes such is left on which it did not.
func (p *Round) avoids(t *state.Task) bool {
	if !t.FailedOn(p.me.ID) {
		return false
	}
	of := p.runOf(t)
	return slices.ContainsFunc(p.live, func(l *load) bool { return !t.FailedOn(l.ID) && (of == nil || p.may(l, of)) })
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
