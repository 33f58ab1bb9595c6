package schedule

import (
	"cmp"
	"slices"
	"time"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
)

// straggler returns a task for a polling worker that has nothing else to do, nil if there
// is none: one that has taken another worker more than BackupAfter times the median of the
// done tasks of its stage. None is late within the time of a lease, in which its worker
// may turn out to be lost.
func (p *plan) straggler(leaseTTL time.Duration) *state.Task {
	if len(p.grants) > 0 || p.me.batch >= p.me.Slots {
		return nil
	}
	for _, r := range p.runs {
		stage := r.Current()
		for _, reduce := range []bool{false, true} {
			if t := p.slowest(stage.Tasks, reduce); t != nil && p.may(p.me, r) {
				took, factor := p.now.Sub(time.UnixMilli(t.LeasedMS)), cmp.Or(stage.BackupAfter, stages.DefaultBackupAfter)
				if median := usual(stage.Tasks, reduce); median >= 0 && took > leaseTTL && float64(took) > factor*float64(median) {
					return t
				}
			}
		}
	}
	return nil
}

// slowest returns the task that is with another worker for longest, of those that the
// polling worker may do too; nil if there is none.
func (p *plan) slowest(tasks []*state.Task, reduce bool) (slow *state.Task) {
	for _, t := range tasks {
		if t.Reduce == reduce && t.State == state.TaskLeased && t.LeasedMS > 0 && t.MayBackUp(p.me.ID) &&
			p.reads+readsOf(t) <= state.MaxHeldPartials && (slow == nil || t.LeasedMS < slow.LeasedMS) {
			slow = t
		}
	}
	return slow
}

// usual returns the median of the times that done tasks took, below 0 while none is done.
func usual(tasks []*state.Task, reduce bool) time.Duration {
	var took []int64
	for _, t := range tasks {
		if t.Reduce == reduce && t.State == state.TaskDone {
			took = append(took, t.TookMS)
		}
	}
	if len(took) == 0 {
		return -1
	}
	slices.Sort(took)
	return time.Duration(took[len(took)/2]) * time.Millisecond
}
