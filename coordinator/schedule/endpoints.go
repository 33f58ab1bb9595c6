package schedule

import (
	"cmp"
	"slices"

	"github.com/thalweg/thalweg/coordinator/state"
)

// endpoints picks endpoints for the polling worker: of each pipeline one at most, since a
// worker answers as much with one as with two. Those that wait go to the workers that hold
// fewest.
func (p *Round) endpoints() {
	for pipe := range p.s.Pipelines() {
		if !p.s.Serves(pipe) {
			continue
		}
		var waiting []*state.Task
		for _, e := range pipe.Endpoints {
			if e.Task.State == state.TaskWaiting && !p.taken[e.Task] && p.mayRetry(e.Failing) {
				waiting = append(waiting, e.Task)
			}
		}
		if len(waiting) > 0 && slices.Contains(p.idlest(pipe, len(waiting)), p.me) && p.take(waiting, 1) > 0 {
			p.serves[p.me]++
		}
	}
}

// idlest returns the n workers that hold fewest endpoints, of those that hold none of the
// pipeline.
func (p *Round) idlest(pipe *state.Pipeline, n int) []*load {
	if p.serves == nil {
		p.serves = make(map[*load]int)
		for _, l := range p.live {
			p.serves[l] = count(l.held, (*state.Task).IsEndpoint)
		}
	}
	free := slices.DeleteFunc(slices.Clone(p.live), func(l *load) bool {
		return slices.ContainsFunc(l.held, func(t *state.Task) bool { return t.IsEndpoint() && t.Endpoint.Pipeline == pipe })
	})
	slices.SortStableFunc(free, func(a, b *load) int { return cmp.Compare(p.serves[a], p.serves[b]) })
	return free[:min(n, len(free))]
}
