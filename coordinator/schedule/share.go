package schedule

import (
	"time"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
)

// batchTasks picks tasks of map and reduce stages for the polling worker, oldest
// run first, lowest index first. Of a stage's remaining tasks it takes no more
// than an even share over the workers that could help, so that the first to poll
// does not leave the others idle.
func (p *plan) batchTasks() []state.Grant {
	free, reads := p.me.Slots, uint32(0)
	for _, l := range p.live {
		if l.ID == p.me.ID {
			free -= l.batch
			for _, t := range l.held {
				reads += readsOf(t)
			}
		}
	}
	var grants []state.Grant
	for _, r := range p.s.ActiveRuns() {
		stage := r.Current()
		if free <= 0 || stage.Over == stages.OverReplicas {
			continue
		}
		left, mine := 0, 0
		for _, t := range stage.Tasks {
			if t.State <= state.TaskLeased {
				left++
			}
			if t.State == state.TaskLeased && t.Worker == p.me.ID {
				mine++
			}
		}
		share := ceil(left, p.helpers(r)) - mine
		for _, t := range stage.Tasks {
			if free <= 0 || share <= 0 {
				break
			}
			if t.State == state.TaskWaiting && reads+readsOf(t) <= state.MaxHeldPartials && !p.avoids(t) {
				grants = append(grants, grant(t))
				reads += readsOf(t)
				free--
				share--
			}
		}
	}
	return grants
}

// readsOf counts the partials that a task reads.
func readsOf(t *state.Task) uint32 {
	if !t.Reduce {
		return 0
	}
	return t.Stage().Maps
}

// helpers counts the live workers that hold a task of the run or have a free
// slot for one.
func (p *plan) helpers(r *state.Run) int {
	n := 0
	for _, l := range p.live {
		helps := l.batch < l.Slots
		for _, t := range l.held {
			helps = helps || t.Run() == r
		}
		if helps {
			n++
		}
	}
	return max(n, 1)
}

// replicas picks train replicas for the polling worker, an even share of each
// training over the live workers. A replica stays where it is while its worker
// lives: moving one makes all of them wait for it to resume.
func (p *plan) replicas() []state.Grant {
	var grants []state.Grant
	for _, r := range p.s.ActiveRuns() {
		stage := r.Current()
		if stage.Over != stages.OverReplicas {
			continue
		}
		room := p.room(len(stage.Tasks), func(t *state.Task) bool { return t.Stage() == stage })
		for _, t := range stage.Tasks {
			if room > 0 && t.State == state.TaskWaiting && !p.avoids(t) {
				grants = append(grants, grant(t))
				room--
			}
		}
	}
	return grants
}

// partitions picks topic partitions for the polling worker, an even share of
// those of all pipelines over the live workers.
func (p *plan) partitions() []state.Grant {
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
	if len(waiting) == 0 {
		return nil
	}
	room := p.room(total, (*state.Task).IsPartition)
	var grants []state.Grant
	for _, t := range waiting[:min(len(waiting), max(room, 0))] {
		grants = append(grants, grant(t))
	}
	return grants
}

// mayRetry reports whether a partition's wait after a failure is over. A failure
// in the future is another leader's clock, and not waited for.
func (p *plan) mayRetry(part *state.Partition) bool {
	if part.Failures == 0 {
		return true
	}
	since := p.now.Sub(time.UnixMilli(part.FailedMS))
	wait := p.cfg.RetryMin << min(part.Failures-1, 16)
	return since < 0 || since >= min(wait, p.cfg.RetryMax)
}

// room returns how many more of total tasks the polling worker may take. Each
// live worker gets total/live of them and as many workers as the remainder
// counts get one more; who holds more already keeps them, but takes none.
func (p *plan) room(total int, counts func(*state.Task) bool) int {
	base, extra := total/len(p.live), total%len(p.live)
	mine := 0
	for _, l := range p.live {
		held := count(l.held, counts)
		if l.ID == p.me.ID {
			mine = held
		} else if held > base {
			extra--
		}
	}
	return base + min(max(extra, 0), 1) - mine
}

// rebalance takes one partition from the live worker that holds most, when the
// polling worker holds at least two fewer; the next plan grants it. One at a
// time: the stream of a partition pauses while it moves.
func (p *plan) rebalance() state.Command {
	var most *load
	mine := 0
	for _, l := range p.live {
		if l.ID == p.me.ID {
			mine = count(l.held, (*state.Task).IsPartition)
		}
		if most == nil || count(l.held, (*state.Task).IsPartition) > count(most.held, (*state.Task).IsPartition) {
			most = l
		}
	}
	if most == nil || count(most.held, (*state.Task).IsPartition) < mine+2 {
		return nil
	}
	var last *state.Task
	for _, t := range most.held {
		if t.IsPartition() {
			last = t
		}
	}
	return &state.ReleaseLeases{Leases: []state.Release{{Task: last.ID, Token: last.Token}}}
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

func ceil(n, by int) int { return (n + by - 1) / by }
