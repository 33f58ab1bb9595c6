package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/crontab"
)

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
			objects, _ := lead.looks.Of(p)
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
	answer, err := c.propose(d.StartScheduled)
	if err == nil && answer.Changed {
		c.log.Info("a run was due by its schedule", keyPipeline, d.Pipeline, keyRun, answer.Run)
	}
	return err
}
