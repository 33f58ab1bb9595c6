package schedule

import (
	"math"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// The pace at which a stream wants other numbers of workers.
const (
	// wantMoreAfter is how long one more worker gets to take partitions and to catch up
	// before another is wanted.
	wantMoreAfter = 30 * time.Second
	// wantLessAfter is how long a stream has to be less than half as far behind as it may
	// be: workers that come and go cost more than one that idles.
	wantLessAfter = 5 * time.Minute
)

// wanted returns the commands by which streams want another number of workers: more, by
// how often the lag is what it may be, at most twice as many at once; fewer, one by one.
func wanted(s *state.State, l Liveness, now time.Time) (commands []state.Command) {
	for p := range s.Pipelines() {
		spec := p.Newest()
		behind, known := l.Behind[p.Name]
		if spec.Scale == nil || !known || p.Paused || !s.Scores(p) {
			continue
		}
		target, since, want := time.Duration(spec.Scale.TargetMS)*time.Millisecond, now.Sub(time.UnixMilli(p.WantedMS)), p.Wanted
		switch {
		case behind > target && since >= wantMoreAfter:
			times := min(2, float64(behind)/float64(target))
			want = max(p.Wanted+1, uint32(times*float64(p.Wanted)))
		case behind < target/2 && since >= wantLessAfter:
			want = max(1, p.Wanted) - 1
		}
		if want = p.Within(want); want != p.Wanted {
			commands = append(commands, &state.SetWanted{Pipeline: p.Name, Generation: spec.Generation, Workers: want})
		}
	}
	return commands
}

// late returns the streams that are more than half as far behind as they may be.
func late(s *state.State, l Liveness) map[thalweg.PipelineName]bool {
	behind := make(map[thalweg.PipelineName]bool)
	for name, by := range l.Behind {
		if p := s.Pipeline(name); p != nil && p.Newest().Scale != nil && !p.Paused && by > time.Duration(p.Newest().Scale.TargetMS)*time.Millisecond/2 {
			behind[name] = true
		}
	}
	return behind
}

// may reports whether a worker can be given tasks of a run: it has disk and memory for them,
// no stream that goes first, and the run may have tasks on it beside its other workers.
func (p *Round) may(l *load, r *run) bool {
	if r.on[l.ID] == 0 && len(r.on) >= r.most() {
		return false
	}
	may, known := l.may[r]
	if !known {
		if l.may == nil {
			l.may = make(map[*run]bool)
		}
		may = !l.NoRoom && p.fits(l, r) && !p.busy(l)
		l.may[r] = may
	}
	return may
}

// most returns on how many workers a run may have tasks.
func (r *run) most() int {
	if n := r.stage.MaxWorkers; n > 0 {
		return int(n)
	}
	return math.MaxInt
}

// busy reports whether a worker holds a partition of a stream that is late: it begins no
// task of a run then.
func (p *Round) busy(l *load) bool {
	return slices.ContainsFunc(l.held, func(t *state.Task) bool { return t.IsPartition() && p.late[t.Partition.Pipeline.Name] })
}

// fits reports whether a worker has memory for a run: all pipelines whose runs it works
// for have to fit together. One that does not tell how much it has takes anything.
func (p *Round) fits(l *load, r *run) bool {
	if l.MemoryBytes <= 0 {
		return true
	}
	needs := map[thalweg.PipelineName]int64{r.Pipeline: p.bytesOf(r.Run)}
	for _, t := range l.held {
		if t.Run != nil {
			needs[t.Run.Pipeline] = p.bytesOf(t.Run)
		}
	}
	total := int64(0)
	for _, n := range needs {
		if n > l.MemoryBytes-total {
			return false
		}
		total += n
	}
	return true
}

// bytesOf returns what a run needs of a worker's memory; of a generation that is not
// kept any more, nothing is known.
func (p *Round) bytesOf(r *state.Run) int64 {
	if pipe := p.s.Pipeline(r.Pipeline); pipe != nil {
		if spec := pipe.Spec(r.Generation); spec != nil {
			return spec.WorkerBytes
		}
	}
	return 0
}
