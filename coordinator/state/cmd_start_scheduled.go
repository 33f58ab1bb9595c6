package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// StartScheduled starts a run by a pipeline's timetable: because a time has come, because
// there are new objects, or because the run has ended that it waited for. It carries what
// the leader relied on, and changes nothing where that is not so any more.
type StartScheduled struct {
	StartRun
	// DueMS is the time that has come, and NextMS the next one; 0: it is another reason.
	DueMS  int64 `json:"due_ms,omitempty"`
	NextMS int64 `json:"next_ms,omitempty"`
	// Objects names the objects that are there now; empty: it is another reason.
	Objects string `json:"objects,omitempty"`
	// Queued: it is the run that was to follow another one.
	Queued bool `json:"queued,omitempty"`
}

func (*StartScheduled) name() string { return "start scheduled run" }

func (c *StartScheduled) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil || p.Timetable == nil || p.Deletion != nil || p.Newest().Generation != c.Generation || c.flaw() != "" || c.Verb != "" {
		return Answer{}
	}
	t, active := p.Timetable, s.runs[p.ActiveRun]
	mayReplace := active != nil && active.Verb == "" && t.OnOverlap == overlapReplace
	why := byTime
	switch {
	case t.Paused && (c.Objects != "" || c.Queued):
		return Answer{}
	case c.Objects != "":
		if !t.OnNewObjects || c.Objects == t.Seen || len(c.Objects) > MaxHashBytes || active != nil && !mayReplace {
			return Answer{}
		}
		why = byObjects
	case c.Queued:
		if !t.Queued || active != nil {
			return Answer{}
		}
	case t.NextMS == 0 || t.NextMS != c.DueMS || s.timeMS < c.DueMS || c.NextMS <= c.DueMS:
		return Answer{}
	default:
		t.NextMS = c.NextMS
	}
	t.LastMS = s.timeMS
	answer := Answer{Pipeline: p.Name, Generation: c.Generation, Changed: true}
	full := s.overfull(p.Name)
	_, gone := s.Parent(p.Newest())
	switch {
	case t.Paused && t.OnOverlap == overlapSkip:
		t.Last = "left out: the schedule was paused"
		return answer
	case t.Paused:
		t.Queued, t.Last = true, "waits for the schedule to be resumed"
		return answer
	case full != "" || gone != "":
		t.saw(c.Objects)
		t.Queued, t.Last = false, clip("no run could start: "+full+gone)
		return answer
	case active != nil && t.OnOverlap == overlapSkip:
		t.Last = fmt.Sprintf("left out: run %s was going", active.ID)
		return answer
	case active != nil && !mayReplace:
		t.Queued, t.Last = true, waitsFor(active)
		return answer
	case active != nil:
		s.endRun(active, RunCanceled, "replaced by a run that the schedule started")
	}
	t.saw(c.Objects) // last: the run that it replaces has noted others
	t.Queued = false
	r := s.startRun(p, &c.StartRun)
	r.Trigger = why
	if v := s.newest(p, p.Newest()); v != nil && v.Objects != "" {
		r.Known = fmt.Sprintf("%d %s", v.Version, v.Objects)
	}
	t.Last = fmt.Sprintf("run %s started", r.ID)
	answer.Run = r.ID
	return answer
}

// SetSchedule pauses or resumes a pipeline's schedule. While it is paused no run starts
// by it: of the times that come then, those that overlap a run would wait for wait for
// the resumption, as one run, and the others are left out.
type SetSchedule struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Paused   bool                 `json:"paused"`
}

func (*SetSchedule) name() string { return "set schedule" }

func (c *SetSchedule) concerns(Answer) (thalweg.PipelineName, string) {
	return c.Pipeline, map[bool]string{true: "schedule paused", false: "schedule resumed"}[c.Paused]
}

func (c *SetSchedule) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.Deletion != nil {
		return beingDeleted(c, p)
	}
	if p.Timetable == nil {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), "its spec has no schedule")
	}
	t := p.Timetable
	answer := Answer{Pipeline: p.Name, Changed: t.Paused != c.Paused}
	t.Paused = c.Paused
	if active := s.runs[p.ActiveRun]; answer.Changed && !t.Paused && t.Queued && active != nil {
		t.Last = waitsFor(active)
	}
	return answer
}

// waitsFor says in a timetable what the run that is queued waits for.
func waitsFor(r *Run) string { return fmt.Sprintf("waits for run %s to end", r.ID) }

// saw notes the objects that a run was due for, if it was due for objects.
func (t *Timetable) saw(objects string) {
	if objects != "" {
		t.Seen = objects
	}
}

// What becomes of a time at which another run is going.
const (
	overlapSkip    = "skip"    // it is left out
	overlapQueue   = "queue"   // a run starts when the other one ends
	overlapReplace = "replace" // the other one is canceled, and a run starts
)

// Run.Trigger of runs that started by themselves.
const (
	byTime    = "schedule"
	byObjects = "new objects"
)

// Timetable says when runs of a pipeline start by themselves, and how far it has come.
type Timetable struct {
	// Timing is what NextMS follows from, cron and time zone; another one begins anew.
	Timing string `json:"timing,omitempty"`
	// OnNewObjects starts a run when the objects are others than Seen.
	OnNewObjects bool   `json:"on_new_objects,omitempty"`
	OnOverlap    string `json:"on_overlap"`
	// NextMS is the next time; 0: none.
	NextMS int64 `json:"next_ms,omitempty"`
	// Paused: no run starts by it.
	Paused bool `json:"paused,omitempty"`
	// Queued: a run is to follow the one that is going, or the end of the pause.
	Queued bool `json:"queued,omitempty"`
	// Seen names the objects that the newest run found.
	Seen string `json:"seen,omitempty"`
	// LastMS is when a run was last due, and Last what came of it.
	LastMS int64  `json:"last_ms,omitempty"`
	Last   string `json:"last,omitempty"`
}

// flaw says what is wrong with a timetable, "" if nothing is.
func (t *Timetable) flaw() string {
	switch {
	case t == nil:
	case !slices.Contains([]string{overlapSkip, overlapQueue, overlapReplace}, t.OnOverlap):
		return fmt.Sprintf("its schedule does %.40q on overlap", t.OnOverlap)
	case t.NextMS < 0 || (t.NextMS > 0) != (t.Timing != "") || len(t.Timing) > MaxTextBytes || len(t.Last) > MaxTextBytes || len(t.Seen) > MaxHashBytes:
		return fmt.Sprintf("its schedule %.80q is next due at %d", t.Timing, t.NextMS)
	}
	return ""
}

// follow gives a pipeline the timetable of a new spec, which goes on from the one before
// where the times are the same.
func (p *Pipeline) follow(next *Timetable) {
	before := p.Timetable
	p.Timetable = nil
	if next == nil {
		return
	}
	t := *next
	if before != nil {
		t.Paused, t.Seen, t.LastMS, t.Last = before.Paused, before.Seen, before.LastMS, before.Last
		if t.Timing == before.Timing {
			t.NextMS, t.Queued = before.NextMS, before.Queued
		}
	}
	p.Timetable = &t
}

// newest returns the newest version that a pipeline trained of all that a spec trains
// from, nil where there is none.
func (s *State) newest(p *Pipeline, spec *Spec) *ModelVersion {
	m := s.models[spec.Model]
	if m == nil {
		return nil
	}
	for _, v := range slices.Backward(m.Versions) {
		if v.Pipeline == p.Name && v.Generation >= spec.Since {
			return v
		}
	}
	return nil
}

// noteTimetable notes in a pipeline's timetable which objects its run found and, of one
// that it started, how it ended.
func (s *State) noteTimetable(r *Run) {
	p := s.pipelines[r.Pipeline]
	if p == nil || p.Timetable == nil || r.Verb != "" {
		return
	}
	if objects := r.Outputs[stages.ObjectsOutput]; objects != "" && len(objects) <= MaxHashBytes {
		p.Timetable.Seen = objects
	}
	if r.Trigger == "" || r.State == RunRunning {
		return
	}
	text := fmt.Sprintf("run %s %s", r.ID, r.State)
	nothing, rejected := r.Outputs[stages.EndOutput], r.Outputs[stages.RejectedOutput]
	switch {
	case nothing != "":
		text = fmt.Sprintf("run %s: %s", r.ID, nothing)
	case r.Version > 0 && rejected != "":
		text += fmt.Sprintf(": version %d, which does not pass its gates: %s", r.Version, rejected)
	case r.Version > 0:
		text += fmt.Sprintf(": version %d", r.Version)
	case r.State == RunFailed:
		text += ": " + r.Error
	}
	p.Timetable.Last = clip(text)
}

// NextRun returns the run that a pipeline's timetable has due at a time, nil where none
// is. objects names those that are there, "" where that is not known.
func (s *State) NextRun(p *Pipeline, nowMS int64, objects string) *StartScheduled {
	t := p.Timetable
	if t == nil || p.Deletion != nil {
		return nil
	}
	c := &StartScheduled{StartRun: StartRun{Pipeline: p.Name, Generation: p.Newest().Generation}}
	switch {
	case t.NextMS > 0 && max(nowMS, s.timeMS) >= t.NextMS:
		c.DueMS = t.NextMS
	case t.Paused:
		return nil
	case t.Queued && p.ActiveRun == "":
		c.Queued = true
	case t.OnNewObjects && objects != "" && objects != t.Seen && (p.ActiveRun == "" || t.OnOverlap == overlapReplace && s.runs[p.ActiveRun].Verb == ""):
		c.Objects = objects
	default:
		return nil
	}
	return c
}

// TimeMS is the newest time that an entry carried.
func (s *State) TimeMS() int64 { return s.timeMS }
