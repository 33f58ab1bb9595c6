package liveness

import (
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// maxLooks bounds the listings that one answer to a worker asks for.
const maxLooks = 4

// Looks is which objects workers found of pipelines that train when there are new ones.
// Which objects the newest run found is (state.Timetable.Seen).
type Looks struct {
	mu struct {
		sync.Mutex
		of map[thalweg.PipelineName]*look
	}
}

type look struct {
	generation thalweg.Generation
	asked      time.Time // for the newest listing
	seen       string    // Timetable.Seen at that time
	objects    string    // a hash of those that it found
	settled    bool      // the listing before found the same: nobody is writing
	failure    string    // why it found none
}

// Due returns the listings that it is time for, and notes that they were asked for.
func (l *Looks) Due(s *state.State, now time.Time, every time.Duration) (due []*apiv1.Look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.of == nil {
		l.mu.of = make(map[thalweg.PipelineName]*look)
	}
	for p := range s.Pipelines() {
		if p.Timetable == nil || !p.Timetable.OnNewObjects || p.Timetable.Paused || p.Deletion != nil {
			delete(l.mu.of, p.Name)
			continue
		}
		spec := p.Newest()
		k := l.mu.of[p.Name]
		if k == nil || k.generation != spec.Generation {
			k = &look{generation: spec.Generation}
			l.mu.of[p.Name] = k
		}
		if now.Sub(k.asked) >= every && len(due) < maxLooks {
			if k.seen != p.Timetable.Seen { // a run has listed them since
				k.settled = false
			}
			k.asked, k.seen = now, p.Timetable.Seen
			due = append(due, &apiv1.Look{Pipeline: string(p.Name), Generation: uint64(spec.Generation), Spec: spec.Text})
		}
	}
	return due
}

// Note takes in what a worker found.
func (l *Looks) Note(found []*apiv1.Looked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range found {
		k := l.mu.of[thalweg.PipelineName(f.Pipeline)]
		if k == nil || uint64(k.generation) != f.Generation {
			continue
		}
		k.settled = f.Objects != "" && f.Objects == k.objects
		k.objects, k.failure = f.Objects, f.Error
	}
}

// Of returns the objects of a pipeline, once two listings agree, and why they cannot be
// listed. Listings from before the newest run made its own do not count.
func (l *Looks) Of(p *state.Pipeline) (objects, failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.mu.of[p.Name]
	switch {
	case k == nil || p.Timetable == nil:
		return "", ""
	case !k.settled || k.generation != p.Newest().Generation || k.seen != p.Timetable.Seen:
		return "", k.failure
	}
	return k.objects, k.failure
}
