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
func (p *Round) straggler() *state.Task {
	if len(p.grants) > 0 || p.me.batch >= p.me.Slots {
		return nil
	}
	for _, r := range p.runs {
		if !r.counted {
			r.slow, r.counted = p.slow(r.stage), true
		}
		for _, t := range r.slow {
			if !p.taken[t] && t.MayBackUp(p.me.ID) && p.reads+readsOf(t) <= state.MaxHeldPartials && p.may(p.me, r) {
				return t
			}
		}
	}
	return nil
}

// slow returns the tasks of a stage that have taken too long, the slowest first, map tasks
// before reducers.
func (p *Round) slow(stage *state.Stage) (slow []*state.Task) {
	held := func(t *state.Task) bool {
		return t.State == state.TaskLeased && t.LeasedMS > 0 && p.now.Sub(time.UnixMilli(t.LeasedMS)) > p.l.LeaseTTL
	}
	if !slices.ContainsFunc(stage.Tasks, held) {
		return nil
	}
	for _, reduce := range []bool{false, true} {
		median, first := usual(stage.Tasks, reduce), len(slow)
		if median < 0 {
			continue
		}
		most := cmp.Or(stage.BackupAfter, stages.DefaultBackupAfter) * float64(median)
		for _, t := range stage.Tasks {
			if t.Reduce == reduce && held(t) && float64(p.now.Sub(time.UnixMilli(t.LeasedMS))) > most {
				slow = append(slow, t)
			}
		}
		slices.SortStableFunc(slow[first:], func(a, b *state.Task) int { return cmp.Compare(a.LeasedMS, b.LeasedMS) })
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
