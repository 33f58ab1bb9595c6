package schedule

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/retry"
)

// partitionBackoff is how long a failed topic partition waits before it is
// leased again.
var partitionBackoff = retry.Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second}

// jobSlots is how many jobs a worker does at once, beside the tasks of runs: somebody waits
// for a job, and neither waits for the other. Each may hold some files in memory.
const jobSlots = 2

// takeJobs picks jobs for the polling worker, the oldest first.
func (p *Round) takeJobs() {
	p.take(p.jobs, jobSlots-count(p.me.held, func(t *state.Task) bool { return t.Job != nil }))
}

// batchTasks picks tasks of map and reduce stages for the polling worker, of the run with the
// fewest tasks leased first, of several the oldest, lowest index first: so runs get even
// shares of the slots, however many tasks one has. Of a stage's remaining tasks it takes no
// more than an even share over the workers that could help, so that the first to poll does
// not leave the others idle.
func (p *Round) batchTasks() {
	free := p.me.Slots - p.me.batch
	runs := slices.Clone(p.runs)
	slices.SortStableFunc(runs, func(a, b *run) int { return cmp.Compare(a.all, b.all) })
	for _, r := range runs {
		if r.rest(p.taken); free <= 0 || r.stage.Over == stages.OverReplicas || len(r.waiting) == 0 || !p.may(p.me, r) {
			continue
		}
		left, helpers := len(r.stage.Tasks)-int(r.stage.Done), p.helpers(r)
		mine := count(p.me.held, func(t *state.Task) bool { return t.Stage == r.stage })
		share := (left+helpers-1)/helpers - mine
		if most := int(r.stage.Together); most > 0 {
			share = min(share, most-r.leased)
		}
		taken := p.take(r.waiting, min(free, share))
		free, r.leased = free-taken, r.leased+taken
	}
}

// rest drops the first of the waiting tasks that are taken by now.
func (t *tasks) rest(taken map[*state.Task]bool) {
	for len(t.waiting) > 0 && taken[t.waiting[0]] {
		t.waiting = t.waiting[1:]
	}
}

// helpers counts the live workers that hold a task of the run or have a free
// slot for one.
func (p *Round) helpers(r *run) int {
	if r.helpers == 0 {
		for _, l := range p.live {
			if l.batch < l.Slots && p.may(l, r) || slices.ContainsFunc(l.held, func(t *state.Task) bool { return t.Run == r.Run }) {
				r.helpers++
			}
		}
		r.helpers = max(min(r.helpers, r.most()), 1)
	}
	return r.helpers
}

// replicas picks train replicas for the polling worker, an even share of each
// training over the live workers.
func (p *Round) replicas() {
	for _, r := range p.runs {
		if r.rest(p.taken); r.stage.Over != stages.OverReplicas || len(r.waiting) == 0 || !p.may(p.me, r) {
			continue
		}
		may := func(l *load) bool { return p.may(l, r) }
		p.shareReplicas(r)
		r.took(p.me, p.take(r.waiting, r.room(p.me)))
		// What failed on all others would wait for this worker's share to grow.
		left := slices.DeleteFunc(slices.Clone(r.waiting), func(t *state.Task) bool { return len(t.Failures) == 0 })
		if len(left) == 0 {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(p.live), func(l *load) bool { return l == p.me || !may(l) })
		left = slices.DeleteFunc(left, func(t *state.Task) bool {
			return slices.ContainsFunc(others, func(l *load) bool { return !t.FailedOn(l.ID) })
		})
		if len(others) > 0 {
			r.took(p.me, p.take(left, len(left)))
		}
	}
}

// shareReplicas counts the shares of a training, once.
func (p *Round) shareReplicas(r *run) {
	if r.share == nil {
		r.share = p.shares(len(r.stage.Tasks), r.most(), func(l *load) bool { return p.may(l, r) }, func(l *load) int {
			return count(l.held, func(t *state.Task) bool { return t.Stage == r.stage })
		})
	}
}

// evenAfter is how long all replicas of a training must have been where they are for some to
// move to a worker that has joined: it waits no more often than that.
const evenAfter = 5 * time.Second

// even takes replicas from the live workers with most of a training, where the polling worker
// has at least two fewer, up to its even share; a later round grants them. All at once, as the
// training waits once for them then.
func (p *Round) even() {
	unsettled := func(t *state.Task) bool {
		return t.State != state.TaskLeased || p.now.Sub(time.UnixMilli(t.LeasedMS)) < evenAfter
	}
	for _, r := range p.runs {
		if r.stage.Over != stages.OverReplicas || r.moved || !p.may(p.me, r) {
			continue
		}
		p.shareReplicas(r)
		room := r.room(p.me)
		if room <= 0 || slices.ContainsFunc(r.stage.Tasks, unsettled) {
			continue
		}
		left := maps.Clone(r.held)
		var moving []*state.Task
		for len(moving) < room {
			from := slices.MaxFunc(p.live, func(a, b *load) int { return cmp.Compare(left[a], left[b]) })
			if left[from] < left[p.me]+2 {
				break
			}
			left[from]--
			i := slices.IndexFunc(from.held, func(t *state.Task) bool {
				return t.Stage == r.stage && !t.FailedOn(p.me.ID) && !slices.Contains(moving, t)
			})
			if i >= 0 {
				moving = append(moving, from.held[i])
				left[p.me]++
			}
		}
		if len(moving) > 0 {
			r.moved = true
			p.add(p.me.ID, state.Release("", moving...))
		}
	}
}

// partitions picks topic partitions for the polling worker, an even share of
// those of all pipelines over the live workers, and returns how many.
func (p *Round) partitions() int {
	if p.streams == nil {
		p.streams = p.waitingPartitions()
	}
	p.streams.rest(p.taken)
	taken := p.take(p.streams.waiting, p.streams.room(p.me))
	p.streams.took(p.me, taken)
	return taken
}

func (p *Round) waitingPartitions() *tasks {
	all, total := &tasks{}, 0
	for pipe := range p.s.Pipelines() {
		if !p.s.Scores(pipe) {
			continue
		}
		for _, part := range pipe.Partitions {
			if part.Stopped != "" {
				continue
			}
			total++
			if part.Task.State == state.TaskWaiting && part.Task.Backup == nil && p.mayRetry(part.Failing) {
				all.waiting = append(all.waiting, part.Task)
			}
		}
	}
	all.share = p.shares(total, len(p.live), func(*load) bool { return true }, func(l *load) int { return l.partitions })
	return all
}

// mayRetry reports whether the wait after a failure is over. A failure in the future is
// another leader's clock, and not waited for.
func (p *Round) mayRetry(f state.Failing) bool {
	since := p.now.Sub(time.UnixMilli(f.FailedMS))
	return f.Failures == 0 || since < 0 || since >= partitionBackoff.Longest(int(f.Failures))
}

// share is an even share of some tasks. Each live worker that may hold any, and most of them,
// gets as many, and as many workers as the remainder counts get one more; who holds more already keeps them,
// but takes none.
type share struct {
	base, extra int
	held        map[*load]int
	above       int // workers that hold more than base
}

// shares returns the shares of total tasks over the workers that may hold any, and most of
// them.
func (p *Round) shares(total, most int, may func(*load) bool, held func(*load) int) *share {
	s, among := &share{held: make(map[*load]int)}, 0
	for _, l := range p.live {
		if may(l) {
			among++
		}
		if n := held(l); n > 0 {
			s.held[l] = n
		}
	}
	among = max(min(among, most), 1)
	s.base, s.extra = total/among, total%among
	for _, n := range s.held {
		if n > s.base {
			s.above++
		}
	}
	return s
}

// room returns how many more a worker may take.
func (s *share) room(l *load) int {
	others := s.above
	if s.held[l] > s.base {
		others--
	}
	return s.base + min(max(s.extra-others, 0), 1) - s.held[l]
}

// took notes that a worker was granted n.
func (s *share) took(l *load, n int) {
	before := s.held[l]
	s.held[l] += n
	if before <= s.base && s.held[l] > s.base {
		s.above++
	}
}

// rebalance takes one partition from the live worker that holds most, when the
// polling worker holds at least two fewer; a later round grants it. One at a
// time: the stream of a partition pauses while it moves.
func (p *Round) rebalance() {
	if p.most == nil {
		p.most = slices.MaxFunc(p.live, func(a, b *load) int { return cmp.Compare(a.partitions, b.partitions) })
	}
	if p.moved || p.most.partitions < p.me.partitions+2 {
		return
	}
	for _, t := range slices.Backward(p.most.held) {
		if t.IsPartition() && !p.taken[t] {
			p.moved = true
			p.add(p.me.ID, state.Release("", t))
			return
		}
	}
}
