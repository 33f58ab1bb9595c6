package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
)

// Pipeline is a named pipeline with its newest generations, its active run and
// its stream.
type Pipeline struct {
	Name thalweg.PipelineName `json:"name"`
	// Specs are the newest MaxGenerations accepted specs, oldest first.
	Specs     []*Spec       `json:"specs"`
	Ordinal   uint64        `json:"ordinal"`              // counts the runs of the newest generation
	ActiveRun thalweg.RunID `json:"active_run,omitempty"` // the only one that has not ended
	// Paused keeps the stream from scoring until an operator resumes it; it outlives
	// generations.
	Paused bool `json:"paused,omitempty"`
	// PauseReason says why the stream was paused without an operator (TripStream);
	// empty unless it is paused.
	PauseReason string `json:"pause_reason,omitempty"`
	// Resumes counts the operator's resumptions: what a partition reported before
	// the newest no longer counts.
	Resumes uint64 `json:"resumes,omitempty"`
	// Partitions are those of the newest generation's topic, by number. They are
	// leased once the pipeline has a champion.
	Partitions []*Partition `json:"partitions,omitempty"`
	// Endpoints are those of the newest generation's service, by number; they are leased
	// once the pipeline has a champion.
	Endpoints []*Endpoint `json:"endpoints,omitempty"`
	// Timetable says when runs start by themselves; nil: never.
	Timetable *Timetable `json:"timetable,omitempty"`
	// Deletion is set while the pipeline is being deleted.
	Deletion *Deletion `json:"deletion,omitempty"`
	// Sinks are where rows of its generations went or go, that of the latest last.
	Sinks []Sink `json:"sinks,omitempty"`
	// Written is the latest generation of which a run wrote the table of cleaned rows, or
	// found it as it is to be; 0: none.
	Written thalweg.Generation `json:"written,omitempty"`
	// Wanted is how many workers the stream wants, since WantedMS; 0: it has no Scale.
	Wanted   uint32 `json:"wanted,omitempty"`
	WantedMS int64  `json:"wanted_ms,omitempty"`
	// Counted is set once a worker has told how many partitions the topic has.
	Counted bool `json:"counted,omitempty"`
}

// Sink is where rows of a pipeline go, or went: they stay there when it moves on.
type Sink struct {
	Connection string             `json:"connection,omitempty"`
	Path       string             `json:"path"`           // s3://bucket/prefix/
	Last       thalweg.Generation `json:"last,omitempty"` // the latest generation that had it
}

// flaw says what is wrong with a sink, "" if nothing is.
func (k Sink) flaw() string {
	if n := len(k.Connection) + len(k.Path); n > MaxTextBytes || k.Path == "" {
		return fmt.Sprintf("a sink of %d bytes, of 1 to %d", n, MaxTextBytes)
	}
	return ""
}

// Spec is one accepted generation: the rendered spec, and what the state needs
// of it, so that the state reads no YAML.
type Spec struct {
	Generation thalweg.Generation `json:"generation"`
	Text       string             `json:"text"`
	AppliedMS  int64              `json:"applied_ms"`
	Model      thalweg.ModelName  `json:"model"` // empty: runs write a table of cleaned rows
	Alias      string             `json:"alias"`
	Topic      string             `json:"topic,omitempty"` // what the stream half scores, empty if the spec has none
	// Training is that of ApplySpec; Since is the first generation of those up to
	// this one that all have the same.
	Training string             `json:"training,omitempty"`
	Keep     uint32             `json:"keep,omitempty"` // of ApplySpec
	Since    thalweg.Generation `json:"since,omitempty"`
	// WarmStart is that of ApplySpec.
	WarmStart int64 `json:"warm_start,omitempty"`
	// Scale and WorkerBytes are those of ApplySpec.
	Scale       *Scale `json:"scale,omitempty"`
	WorkerBytes int64  `json:"worker_bytes,omitempty"`
	// Serving is that of ApplySpec.
	Serving *Serving `json:"serving,omitempty"`
	// Rollout is that of ApplySpec.
	Rollout *RolloutPolicy `json:"rollout,omitempty"`
	// Alerts is that of ApplySpec.
	Alerts *alert.Wanted `json:"alerts,omitempty"`
	// File and Written are those of the newest ApplySpec of this generation.
	File    string `json:"file,omitempty"`
	Written string `json:"written,omitempty"`
}

// Scale is how far behind a stream may be, and how many workers it may want.
type Scale struct {
	Min      uint32 `json:"min"`
	Max      uint32 `json:"max"`
	TargetMS int64  `json:"target_ms"` // age of the first event that is not scored
}

// flaw says what is wrong with a scale, "" if nothing is.
func (k *Scale) flaw() string {
	if k != nil && (k.Min < 1 || k.Max < k.Min || k.TargetMS < 1) {
		return fmt.Sprintf("scale: %d to %d workers, %d ms behind", k.Min, k.Max, k.TargetMS)
	}
	return ""
}

// Within returns the number of workers next to n that the stream may want: no more than
// the topic has partitions. 0 where there is no scale.
func (p *Pipeline) Within(n uint32) uint32 {
	k := p.Newest().Scale
	if k == nil {
		return 0
	}
	return max(1, min(max(n, k.Min), k.Max, uint32(max(1, len(p.Partitions)))))
}

// Partition is one topic partition and the task that scores it.
type Partition struct {
	Task *Task `json:"task"`
	// Stopped says why scoring cannot go on without an operator, empty while it can.
	Stopped string `json:"stopped,omitempty"`
	Failing
	LastError string             `json:"last_error,omitempty"` // of the last failure
	Skip      *SkipAuthorization `json:"skip,omitempty"`       // the newest
	// Grown is set if the topic got the partition after the stream had begun: none
	// of its records may be left out, whatever the spec says of the start.
	Grown bool `json:"grown,omitempty"`

	Pipeline *Pipeline `json:"-"`
}

// Newest returns the newest generation.
func (p *Pipeline) Newest() *Spec { return p.Specs[len(p.Specs)-1] }

// Spec returns the given generation (0: the newest), or nil where it is not
// kept.
func (p *Pipeline) Spec(g thalweg.Generation) *Spec {
	if g == 0 {
		return p.Newest()
	}
	i := slices.IndexFunc(p.Specs, func(spec *Spec) bool { return spec.Generation == g })
	if i < 0 {
		return nil
	}
	return p.Specs[i]
}

// Champion returns the version that the alias of the pipeline's newest
// generation points to, and those that it replaced, newest first; nil while
// there is none.
func (s *State) Champion(p *Pipeline) []*ModelVersion {
	spec := p.Newest()
	m := s.models[spec.Model]
	if m == nil {
		return nil
	}
	a := m.Aliases[spec.Alias]
	if a == nil {
		return nil
	}
	versions := []*ModelVersion{m.Version(a.Version)}
	for _, v := range a.Replaced {
		versions = append(versions, m.Version(v))
	}
	return versions
}

// Scores reports whether the pipeline's partitions can be leased now: it has a
// stream and a champion, and is not being deleted.
func (s *State) Scores(p *Pipeline) bool {
	return len(p.Partitions) > 0 && p.Deletion == nil && len(s.Champion(p)) > 0
}

// setPartitions makes the pipeline's partitions number n; it only adds.
func (s *State) setPartitions(p *Pipeline, n uint32) {
	for i := uint32(len(p.Partitions)); i < n; i++ {
		part := &Partition{Pipeline: p, Grown: p.Counted}
		part.Task = &Task{ID: ScoreTaskID(p.Name, i), Index: i, State: TaskWaiting, Partition: part}
		p.Partitions = append(p.Partitions, part)
		s.tasks[part.Task.ID] = part.Task
	}
}

// restartStream ends the leases of a pipeline's partitions, so that they are
// granted again with new tokens, and forgets their failures.
func (s *State) restartStream(p *Pipeline) {
	for _, part := range p.Partitions {
		s.endLease(part.Task, TaskWaiting)
		part.forgive()
	}
}

// endStream drops a pipeline's partitions.
func (s *State) endStream(p *Pipeline) {
	s.restartStream(p)
	for _, part := range p.Partitions {
		delete(s.tasks, part.Task.ID)
	}
	p.Partitions, p.Counted = nil, false
}

// writesTo notes the sink of a generation.
func (p *Pipeline) writesTo(k Sink, g thalweg.Generation) {
	p.Sinks = slices.DeleteFunc(slices.Clone(p.Sinks), func(o Sink) bool { return o.Connection == k.Connection && o.Path == k.Path })
	k.Last = g
	p.Sinks = append(p.Sinks, k)
	p.Sinks = p.Sinks[max(0, len(p.Sinks)-MaxSinks):]
}

// forgive forgets the failures of a partition.
func (p *Partition) forgive() { p.Stopped, p.Failing, p.LastError = "", Failing{}, "" }
