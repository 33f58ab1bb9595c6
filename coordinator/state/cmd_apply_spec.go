package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// ApplySpec accepts a spec: a changed one becomes the next generation, ends the
// run of the one before and starts its own; an unchanged one changes nothing, and
// starts a run where none has registered a version and none is under way.
// One that changes nothing of what versions are trained from starts no run where
// such a version is registered and no run is under way: the stream goes on with
// it.
type ApplySpec struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Text     string               `json:"text"` // rendered
	// Model and Alias are empty where runs write a table of cleaned rows instead.
	Model  thalweg.ModelName `json:"model"`
	Alias  string            `json:"alias"`
	Stages []stages.Plan     `json:"stages"`          // of a run of the spec
	Topic  string            `json:"topic,omitempty"` // empty: no stream half
	// Sink is where the rows of the stream half go, or cleaned ones; nil: nowhere.
	Sink *Sink `json:"sink,omitempty"`
	// Training names what of the spec a trained version depends on: equal for
	// specs that train the same. Empty: not known.
	Training string `json:"training,omitempty"`
	// Keep is how many of the model's newest versions keep their checkpoints; 0: all.
	Keep uint32 `json:"keep,omitempty"`
	// WarmStart is the version of the model whose weights runs start from; FromChampion:
	// the one that the alias names when a run starts, if any; 0: none.
	WarmStart int64 `json:"warm_start,omitempty"`
	// Scale is that of the stream half; nil: none.
	Scale *Scale `json:"scale,omitempty"`
	// Serving is its service; nil: none.
	Serving *Serving `json:"serving,omitempty"`
	// Rollout is how versions take over the alias; nil: at once.
	Rollout *RolloutPolicy `json:"rollout,omitempty"`
	// Alerts says what somebody is told of the pipeline; nil: nothing.
	Alerts *alert.Wanted `json:"alerts,omitempty"`
	// WorkerBytes is what its runs need of a worker's memory; 0: any worker will do.
	WorkerBytes int64 `json:"worker_bytes,omitempty"`
	// Timetable is when runs start by themselves, before any has; nil: never.
	Timetable *Timetable `json:"timetable,omitempty"`
	// Written is the text as a user wrote it, and File its name: what diagnostics of
	// a run cite.
	File    string `json:"file,omitempty"`
	Written string `json:"written,omitempty"`
}

func (*ApplySpec) name() string { return "apply spec" }

func (c *ApplySpec) concerns(a Answer) (thalweg.PipelineName, string) {
	return c.Pipeline, fmt.Sprintf("generation %d", a.Generation)
}

func (c *ApplySpec) apply(s *State) Answer {
	switch {
	case c.Pipeline == "" || (c.Model == "") != (c.Alias == ""):
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), "pipeline, model and alias need names")
	case len(c.Text) > MaxSpecBytes:
		return failure(thalweg.Exhausted, c.name(), fmt.Sprintf("%s: %d bytes", c.Pipeline, len(c.Text)),
			fmt.Sprintf("a rendered spec may have %d", MaxSpecBytes))
	case len(c.Written) > MaxSpecBytes || len(c.File) > MaxTextBytes:
		return failure(thalweg.Exhausted, c.name(), fmt.Sprintf("%s: %d bytes as written, and %d of the file's name", c.Pipeline, len(c.Written), len(c.File)),
			fmt.Sprintf("they may have %d and %d", MaxSpecBytes, MaxTextBytes))
	case len(c.Training) > MaxHashBytes:
		return failure(thalweg.Exhausted, c.name(), fmt.Sprintf("%s: a hash of %d bytes", c.Pipeline, len(c.Training)),
			fmt.Sprintf("it may have %d", MaxHashBytes))
	}
	if flaw := flawOfPlan(c.Stages); flaw != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
	}
	if c.Sink != nil && c.Sink.flaw() != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), c.Sink.flaw())
	}
	if flaw := c.MissingParent(s); flaw != "" {
		return failure(thalweg.NotFound, c.name(), string(c.Pipeline), flaw)
	}
	if flaw := c.Scale.flaw(); flaw != "" || c.WorkerBytes < 0 {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), cmp.Or(flaw, "negative memory"))
	}
	if flaw := c.Serving.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
	}
	if flaw := c.Rollout.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
	}
	if flaw := alertsFlaw(c.Alerts); flaw != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
	}
	if flaw := c.Timetable.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
	}
	p := s.pipelines[c.Pipeline]
	first := s.forgotten.Generation + 1 // generation, of a pipeline that is new
	if t := s.deleted[c.Pipeline]; t != nil {
		first = t.Generation + 1
	}
	if p != nil && p.Deletion != nil {
		return beingDeleted(c, p)
	}
	if p == nil {
		if len(s.pipelines) >= MaxPipelines {
			return failure(thalweg.Exhausted, c.name(), string(c.Pipeline), fmt.Sprintf("there are %d pipelines already", MaxPipelines))
		}
		p = &Pipeline{Name: c.Pipeline}
		if t := s.deleted[c.Pipeline]; t != nil {
			p.Sinks = t.Sinks
		}
		s.pipelines[c.Pipeline] = p
		delete(s.deleted, c.Pipeline)
	}
	spec := &Spec{Generation: first, Text: c.Text, AppliedMS: s.timeMS,
		Model: c.Model, Alias: c.Alias, Topic: c.Topic, Training: c.Training, Keep: c.Keep, Since: first,
		WarmStart: c.WarmStart, Scale: c.Scale, Serving: c.Serving, Rollout: c.Rollout, Alerts: c.Alerts, WorkerBytes: c.WorkerBytes, File: c.File, Written: c.Written}
	topicBefore := ""
	if len(p.Specs) > 0 {
		before := p.Newest()
		if before.Text == c.Text {
			before.File, before.Written = c.File, c.Written
			return c.again(s, p)
		}
		spec.Generation, topicBefore = before.Generation+1, before.Topic
		spec.Since = spec.Generation
		if before.Training != "" && before.Training == c.Training {
			spec.Since = before.Since
		}
	}
	active := s.runs[p.ActiveRun]
	trains := active != nil && active.Verb == "" || !s.trained(p, spec)
	if full := s.overfull(p.Name); trains && full != "" {
		return failure(thalweg.Exhausted, c.name(), string(c.Pipeline), full)
	}
	if active != nil {
		s.endRun(active, RunCanceled, fmt.Sprintf("superseded by generation %d", spec.Generation))
	}
	p.Specs = append(p.Specs, spec)
	s.endUnfollowed()
	p.Specs = slices.Delete(p.Specs, 0, max(0, len(p.Specs)-MaxGenerations)) // no run of an older one is left
	p.Ordinal = 0
	p.follow(c.Timetable)
	if c.Sink != nil {
		p.writesTo(*c.Sink, spec.Generation)
	}
	if spec.Topic != topicBefore {
		s.endStream(p)
	}
	s.restartStream(p)
	if spec.Topic != "" {
		s.setPartitions(p, 1)
	}
	p.Wanted, p.WantedMS = p.Within(p.Wanted), s.timeMS
	s.setEndpoints(p, c.Serving)
	if !trains {
		return Answer{Pipeline: p.Name, Generation: spec.Generation, Changed: true}
	}
	r := s.startRun(p, &StartRun{Stages: c.Stages})
	return Answer{Pipeline: p.Name, Generation: spec.Generation, Run: r.ID, Changed: true}
}

// MissingParent says why runs of the spec cannot start from the version that it names,
// "" if they can.
func (c *ApplySpec) MissingParent(s *State) string {
	_, flaw := s.Parent(&Spec{Model: c.Model, Alias: c.Alias, WarmStart: c.WarmStart})
	return flaw
}

// beingDeleted refuses a command because its pipeline is on its way out.
func beingDeleted(c Command, p *Pipeline) Answer {
	return failure(thalweg.Conflict, c.name(), "pipeline "+string(p.Name), "it is being deleted; try again once `thalweg status` does not list it")
}

// again accepts a spec that is the pipeline's newest: a run that failed or was
// canceled is started again where no version came of the spec.
func (c *ApplySpec) again(s *State, p *Pipeline) Answer {
	answer := Answer{Pipeline: p.Name, Generation: p.Newest().Generation}
	if p.ActiveRun != "" || s.trained(p, p.Newest()) {
		return answer
	}
	if full := s.overfull(p.Name); full != "" {
		return failure(thalweg.Exhausted, c.name(), string(c.Pipeline), full)
	}
	answer.Run = s.startRun(p, &StartRun{Stages: c.Stages}).ID
	return answer
}

// trained reports whether a run of a pipeline has registered a version from all
// that spec trains from, or written its table.
func (s *State) trained(p *Pipeline, spec *Spec) bool {
	if spec.Model == "" {
		return p.Written > 0 && p.Written >= spec.Since
	}
	m := s.models[spec.Model]
	return m != nil && m.Aliases[spec.Alias] != nil && s.newest(p, spec) != nil
}
