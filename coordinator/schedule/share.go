package schedule

import (
	"cmp"
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

// jobs picks jobs for the polling worker, the oldest first.
func (p *plan) jobs() {
	p.take(p.s.WaitingJobs(), jobSlots-count(p.me.held, func(t *state.Task) bool { return t.Job != nil }))
}

// batchTasks picks tasks of map and reduce stages for the polling worker, of the run with the
// fewest tasks leased first, of several the oldest, lowest index first: so runs get even
// shares of the slots, however many tasks one has. Of a stage's remaining tasks it takes no
// more than an even share over the workers that could help, so that the first to poll does
// not leave the others idle.
func (p *plan) batchTasks() {
	free := p.me.Slots - p.me.batch
	runs := slices.Clone(p.runs)
	slices.SortStableFunc(runs, func(a, b *state.Run) int { return cmp.Compare(p.on[a].tasks, p.on[b].tasks) })
	for _, r := range runs {
		stage := r.Current()
		if free <= 0 || stage.Over == stages.OverReplicas || !p.may(p.me, r) {
			continue
		}
		left, helpers := len(stage.Tasks)-int(stage.Done), p.helpers(r)
		mine := count(p.me.held, func(t *state.Task) bool { return t.Stage == stage })
		share := (left+helpers-1)/helpers - mine
		if most := int(stage.Together); most > 0 {
			share = min(share, most-count(stage.Tasks, func(t *state.Task) bool { return t.State == state.TaskLeased }))
		}
		free -= p.take(stage.Tasks, min(free, share))
	}
}

// helpers counts the live workers that hold a task of the run or have a free
// slot for one.
func (p *plan) helpers(r *state.Run) int {
	n := 0
	for _, l := range p.live {
		if l.batch < l.Slots && p.may(l, r) || slices.ContainsFunc(l.held, func(t *state.Task) bool { return t.Run == r }) {
			n++
		}
	}
	return max(min(n, most(r)), 1)
}

// replicas picks train replicas for the polling worker, an even share of each
// training over the live workers. A replica stays where it is while its worker
// lives: moving one makes all of them wait for it to resume.
func (p *plan) replicas() {
	for _, r := range p.runs {
		stage := r.Current()
		if stage.Over != stages.OverReplicas || !p.may(p.me, r) {
			continue
		}
		may := func(l *load) bool { return p.may(l, r) }
		p.take(stage.Tasks, p.room(len(stage.Tasks), most(r), may, func(l *load) int {
			return count(l.held, func(t *state.Task) bool { return t.Stage == stage })
		}))
		// What failed on all others would wait for this worker's share to grow.
		others := slices.DeleteFunc(slices.Clone(p.live), func(l *load) bool { return l == p.me || !may(l) })
		left := slices.DeleteFunc(slices.Clone(stage.Tasks), func(t *state.Task) bool {
			return slices.Contains(p.grants, t.Lease()) || slices.ContainsFunc(others, func(l *load) bool { return !t.FailedOn(l.ID) })
		})
		if len(others) > 0 {
			p.take(left, len(left))
		}
	}
}

// partitions picks topic partitions for the polling worker, an even share of
// those of all pipelines over the live workers, and returns how many.
func (p *plan) partitions() int {
	total := 0
	var waiting []*state.Task
	for pipe := range p.s.Pipelines() {
		if !p.s.Scores(pipe) {
			continue
		}
		for _, part := range pipe.Partitions {
			if part.Stopped != "" {
				continue
			}
			total++
			if part.Task.State == state.TaskWaiting && p.mayRetry(part) {
				waiting = append(waiting, part.Task)
			}
		}
	}
	return p.take(waiting, p.room(total, len(p.live), func(*load) bool { return true }, func(l *load) int { return l.partitions }))
}

// mayRetry reports whether a partition's wait after a failure is over. A failure
// in the future is another leader's clock, and not waited for.
func (p *plan) mayRetry(part *state.Partition) bool {
	since := p.now.Sub(time.UnixMilli(part.FailedMS))
	return part.Failures == 0 || since < 0 || since >= partitionBackoff.Longest(int(part.Failures))
}

// room returns how many more of total tasks the polling worker may take. Each live worker
// that may hold any, and most of them, gets an even share and as many workers as the remainder
// counts get one more; who holds more already keeps them, but takes none.
func (p *plan) room(total, most int, may func(*load) bool, held func(*load) int) int {
	among := 0
	for _, l := range p.live {
		if l == p.me || may(l) {
			among++
		}
	}
	among = min(among, most)
	base, extra := total/among, total%among
	for _, l := range p.live {
		if l != p.me && held(l) > base {
			extra--
		}
	}
	return base + min(max(extra, 0), 1) - held(p.me)
}

// rebalance takes one partition from the live worker that holds most, when the
// polling worker holds at least two fewer; the next plan grants it. One at a
// time: the stream of a partition pauses while it moves.
func (p *plan) rebalance() []state.Command {
	most := slices.MaxFunc(p.live, func(a, b *load) int { return cmp.Compare(a.partitions, b.partitions) })
	if most.partitions < p.me.partitions+2 {
		return nil
	}
	for _, t := range slices.Backward(most.held) {
		if t.IsPartition() {
			return []state.Command{state.Release("", t)}
		}
	}
	return nil
}
