package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Deletion is how far the deletion of a pipeline is that is there still.
type Deletion struct {
	Purge     bool              `json:"purge,omitempty"`
	Stages    []stages.Plan     `json:"stages,omitempty"`
	Arguments map[string]string `json:"arguments,omitempty"`
	// Failed says why the purge ended in vain; empty while it has not.
	Failed string `json:"failed,omitempty"`
	Note   string `json:"note,omitempty"` // for the tombstone
}

// Tombstone is what is remembered of a pipeline that was deleted: a later one of
// the same name goes on with the next generation, so that neither its runs nor its
// rows can be taken for those of before. Its model is kept likewise, with all
// versions retired, unless another pipeline uses it.
type Tombstone struct {
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"generation"` // its last
	DeletedMS  int64                `json:"deleted_ms"`
	Index      uint64               `json:"index"` // of the entry that removed it
	// Purged is set if what it had written was removed: so many objects and bytes
	// by the attempt that ended.
	Purged  bool   `json:"purged,omitempty"`
	Objects int64  `json:"objects,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Note    string `json:"note,omitempty"` // what the purge left, and why
	// Sinks are where its rows are still, unless they were purged.
	Sinks []Sink `json:"sinks,omitempty"`
}

// Forgotten bounds the numbers of the pipelines and models of which no tombstone
// is kept any more: names that are not known begin behind them.
type Forgotten struct {
	Generation thalweg.Generation   `json:"generation,omitempty"`
	Version    thalweg.ModelVersion `json:"version,omitempty"`
}

// Deleted yields the tombstones in order of their names.
func (s *State) Deleted() iter.Seq[*Tombstone] { return sorted(s.deleted) }

// Tombstone returns what is remembered of a pipeline that was deleted, or nil.
func (s *State) Tombstone(name thalweg.PipelineName) *Tombstone { return s.deleted[name] }

// advanceDeletion takes the next step of a deletion, once nobody scores any more:
// the run that purges, or the end.
func (s *State) advanceDeletion(p *Pipeline) {
	d := p.Deletion
	if d == nil || p.ActiveRun != "" || d.Failed != "" ||
		slices.ContainsFunc(p.Partitions, func(part *Partition) bool { return part.Task.State == TaskLeased }) {
		return
	}
	if d.Purge {
		s.startRun(p, &StartRun{Stages: d.Stages, Verb: stages.PurgeVerb, Arguments: d.Arguments})
		return
	}
	s.remove(p, nil)
}

// purgeEnded goes on after the run that purges.
func (s *State) purgeEnded(p *Pipeline, r *Run) {
	if r.State == RunSucceeded {
		s.remove(p, r)
	} else {
		p.Deletion.Failed = quoted(r.Error)
	}
}

// remove leaves a tombstone of a pipeline, of which no task is leased and no run is
// going.
func (s *State) remove(p *Pipeline, purge *Run) {
	t := &Tombstone{Pipeline: p.Name, Generation: p.Newest().Generation, DeletedMS: s.timeMS, Index: s.index, Note: p.Deletion.Note}
	if purge == nil {
		t.Sinks = p.Sinks
	} else {
		t.Purged, t.Objects, t.Bytes = true, purge.Counts["objects"], purge.Counts["bytes"]
		t.Note = clip(strings.Join(purge.Warnings, "; "))
	}
	s.endStream(p)
	for id, r := range s.runs {
		if r.Pipeline == p.Name {
			delete(s.runs, id)
		}
	}
	for id, j := range s.jobs {
		if j.Pipeline == p.Name {
			delete(s.jobs, id)
		}
	}
	delete(s.pipelines, p.Name)
	s.endUnfollowed()
	for _, spec := range p.Specs {
		if m := s.models[spec.Model]; m != nil && !s.IsUsed(m) {
			m.retire(purge != nil)
		}
	}
	s.deleted[p.Name] = t
	if len(s.deleted) > MaxDeleted {
		s.forgetOldest()
	}
}

// IsUsed reports whether a spec that is kept names the model.
func (s *State) IsUsed(m *Model) bool {
	for _, p := range s.pipelines {
		if p.Uses(m.Name) {
			return true
		}
	}
	return false
}

// Uses reports whether a generation of the pipeline that is kept names a model.
func (p *Pipeline) Uses(m thalweg.ModelName) bool {
	return slices.ContainsFunc(p.Specs, func(spec *Spec) bool { return spec.Model == m })
}

// forgetOldest forgets the pipeline that was deleted first, and its models that
// nobody uses; only the bound of their numbers is kept.
func (s *State) forgetOldest() {
	var oldest *Tombstone
	for t := range s.Deleted() {
		if oldest == nil || t.Index < oldest.Index {
			oldest = t
		}
	}
	delete(s.deleted, oldest.Pipeline)
	s.forgotten.Generation = max(s.forgotten.Generation, oldest.Generation)
	for name, m := range s.models {
		if m.Retired() && !s.IsUsed(m) && slices.ContainsFunc(m.Versions, func(v *ModelVersion) bool { return v.Pipeline == oldest.Pipeline }) {
			s.forgotten.Version = max(s.forgotten.Version, m.last())
			delete(s.models, name)
		}
	}
}
