package state

import (
	"fmt"
	"maps"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// RegisterModel ends a run that has come to its registration: its checkpoint becomes the
// model's next version and the alias of the run's generation moves to it, at once or by a rollout,
// unless the run rejects it.
type RegisterModel struct {
	Run thalweg.RunID `json:"run"`
}

func (*RegisterModel) name() string { return "register model" }

func (c *RegisterModel) apply(s *State) Answer {
	r := s.runs[c.Run]
	if r == nil || r.Current() == nil || r.Current().Over != stages.OverNothing {
		return Answer{}
	}
	if r.Outputs["checkpoint"] == "" {
		s.endRun(r, RunFailed, "register: no stage before it left a checkpoint")
		return Answer{}
	}
	p := s.pipelines[r.Pipeline]
	spec := p.Spec(r.Generation)
	m := s.models[spec.Model]
	if m == nil {
		m = &Model{Name: spec.Model, Before: s.forgotten.Version}
		s.models[spec.Model] = m
	}
	if len(m.Versions) >= MaxVersions {
		s.endRun(r, RunFailed, fmt.Sprintf("register: model %s has %d versions already", m.Name, MaxVersions))
		return Answer{}
	}
	rejected := clip(r.Outputs[stages.RejectedOutput])
	switch a := m.Aliases[spec.Alias]; {
	case rejected != "":
		r.warn(fmt.Sprintf("version %d is registered, but does not become %s, since it does not pass its gates: %s", m.last()+1, spec.Alias, rejected))
	case a != nil:
		r.compareWith(m.Version(a.Version))
		if r.Champion != nil && r.Champion.Version != a.Version && r.Outputs["gates"] != "" {
			r.warn(fmt.Sprintf("%s moved from version %d to %d while the run went on: gates versus champion compare with version %[2]d", spec.Alias, r.Champion.Version, a.Version))
		}
	}
	v := &ModelVersion{
		Version: m.last() + 1, Checkpoint: r.Outputs["checkpoint"],
		Run: r.ID, Pipeline: r.Pipeline, Generation: r.Generation, RegisteredMS: s.timeMS, Index: s.index,
		Metrics: maps.Clone(r.Metrics), Warnings: r.Warnings, ModelSHA256: r.Outputs["model_sha256"], TransformHash: r.Outputs["transform_hash"],
		Objects: r.Outputs[stages.ObjectsOutput],
	}
	for name, object := range r.Outputs {
		if format, ok := strings.CutPrefix(name, stages.ExportOutput); ok {
			if v.Exports == nil {
				v.Exports = make(map[string]string)
			}
			v.Exports[format] = object
		}
	}
	if r.Parent != nil {
		v.Parent = r.Parent.Version
	}
	m.Versions = append(m.Versions, v)
	r.Model, r.Version, v.Rejected = m.Name, v.Version, rejected
	s.endRun(r, RunSucceeded, "")
	if rejected != "" {
		return Answer{Run: r.ID, Stage: r.Stage().Name, Version: v.Version, Changed: true}
	}
	if spec.Rollout != nil && m.Aliases[spec.Alias] != nil {
		s.beginRollout(m, spec, v)
		return Answer{Run: r.ID, Stage: r.Stage().Name, Version: v.Version, Changed: true}
	}
	previous := m.point(spec.Alias, v.Version)
	s.aliasMoved(m.Aliases[spec.Alias])
	s.championMoved(m.Name, spec.Alias)
	return Answer{Run: r.ID, Stage: r.Stage().Name, Version: v.Version, Previous: previous, Changed: true}
}

// compared are the metrics that versions are compared by, and of which less is
// better.
var compared = []string{"test.log_loss", "test.rmse"}

// compareWith warns of a version that is worse than the one that it replaces.
func (r *Run) compareWith(before *ModelVersion) {
	for _, name := range compared {
		now, measured := r.Metrics[name]
		if then, known := before.Metrics[name]; measured && known && now > then {
			r.warn(fmt.Sprintf("%s is %.4g, and that of version %d, which it replaces, was %.4g on the data of then", name, now, before.Version, then))
		}
	}
}

// championMoved gives the streams that follow an alias another chance: what
// stopped them may have been the version before.
func (s *State) championMoved(m thalweg.ModelName, alias string) {
	for p := range s.Pipelines() {
		if spec := p.Newest(); spec.Model == m && spec.Alias == alias {
			for _, part := range p.Partitions {
				part.forgive()
			}
		}
	}
}
