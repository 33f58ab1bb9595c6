package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/crontab"
)

// maxLooks bounds the listings that one answer to a worker asks for.
const maxLooks = 4

// looks is which objects workers found of pipelines that train when there are new ones.
// It is not replicated; which objects the newest run found is (state.Timetable.Seen).
type looks struct {
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

// due returns the listings that it is time for, and notes that they were asked for.
func (l *looks) due(s *state.State, now time.Time, every time.Duration) (due []*apiv1.Look) {
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

// note takes in what a worker found.
func (l *looks) note(found []*apiv1.Looked) {
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

// of returns the objects of a pipeline, once two listings agree, and why they cannot be
// listed. Listings from before the newest run made its own do not count.
func (l *looks) of(p *state.Pipeline) (objects, failure string) {
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

// timetableOf returns when runs of a spec start by themselves.
func timetableOf(spec *pipeline.Spec, now time.Time) *state.Timetable {
	s := spec.Spec.Schedule
	if s == nil {
		return nil
	}
	t := &state.Timetable{OnNewObjects: s.OnNewObjects, OnOverlap: s.OnOverlap}
	if next := nextTime(spec, now); !next.IsZero() {
		t.Timing, t.NextMS = s.Cron+" "+s.Timezone, next.UnixMilli()
	}
	return t
}

// nextTime returns when the next time of a spec's schedule comes; zero where none does.
func nextTime(spec *pipeline.Spec, now time.Time) time.Time {
	s := spec.Spec.Schedule
	if s == nil || s.Cron == "" {
		return time.Time{}
	}
	table, err := crontab.Parse(s.Cron, s.Timezone)
	if err != nil {
		return time.Time{} // of another build
	}
	return table.Next(now)
}

// dueRun is a run that is due, with the text of its spec and the time by which it is.
type dueRun struct {
	*state.StartScheduled
	spec string
	now  time.Time
}

// startScheduled starts the runs whose time has come, and those for new objects.
func (c *Coordinator) startScheduled(ctx context.Context, lead *leadership) error {
	var all []dueRun
	c.replica.view(func(s *state.State) {
		now := time.UnixMilli(max(c.cfg.Now().UnixMilli(), s.TimeMS())) // as the entry will have it
		for p := range s.Pipelines() {
			objects, _ := lead.looks.of(p)
			if cmd := s.NextRun(p, now.UnixMilli(), objects); cmd != nil {
				all = append(all, dueRun{cmd, p.Newest().Text, now})
			}
		}
	})
	var failed error
	for _, d := range all {
		failed = errors.Join(failed, c.startDue(ctx, d)) // none holds up the others
	}
	return failed
}

// startDue starts a run that is due.
func (c *Coordinator) startDue(ctx context.Context, d dueRun) error {
	spec, err := c.readSpec(ctx, "", d.spec)
	if err != nil {
		return err
	}
	if d.DueMS > 0 { // one run makes up for all times until now
		next := nextTime(spec, d.now)
		if next.IsZero() {
			return nil // no time is left
		}
		d.NextMS = next.UnixMilli()
	}
	if d.Stages, err = c.cfg.Stages(spec, "", nil); err != nil {
		return err
	}
	answer, err := c.propose(d.StartScheduled, "")
	if err == nil && answer.Changed {
		c.log.Info("a run was due by its schedule", keyPipeline, d.Pipeline, keyRun, answer.Run)
	}
	return err
}

// timetableView returns a pipeline's timetable as the RPC shows it.
func timetableView(t *state.Timetable, message string) *apiv1.Timetable {
	if t == nil {
		return nil
	}
	return &apiv1.Timetable{Timing: t.Timing, OnNewObjects: t.OnNewObjects, OnOverlap: t.OnOverlap, NextAtUnixMs: t.NextMS,
		Queued: t.Queued, LastAtUnixMs: t.LastMS, Last: t.Last, Message: message, Paused: t.Paused}
}
