package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// FromChampion is a WarmStart from the version that the alias of the spec names.
const FromChampion = -1

// Parent is the version whose weights a run starts from. It keeps its checkpoint while
// the run goes on.
type Parent struct {
	Version    thalweg.ModelVersion `json:"version"`
	Checkpoint string               `json:"checkpoint"`
}

// Parent returns the version that a run of a spec starts from now, nil where it starts
// anew; flaw says why it cannot start from the one that the spec names.
func (s *State) Parent(spec *Spec) (parent *Parent, flaw string) {
	m := s.models[spec.Model]
	version := thalweg.ModelVersion(spec.WarmStart)
	switch {
	case spec.WarmStart == 0:
		return nil, ""
	case spec.WarmStart == FromChampion:
		if m == nil || m.Aliases[spec.Alias] == nil {
			return nil, "" // the first run
		}
		version = m.Aliases[spec.Alias].Version
	}
	var v *ModelVersion
	if m != nil && spec.WarmStart >= FromChampion {
		v = m.Version(version)
	}
	what := fmt.Sprintf("trainer.warm_start: version %d of model %s", version, spec.Model)
	switch {
	case v == nil:
		return nil, what + " does not exist; `thalweg models` lists those that do"
	case v.Retired:
		return nil, what + " is of a pipeline that was deleted; name another version, or none"
	case v.Collected:
		return nil, what + " has no checkpoint any more; name a newer version, or none"
	}
	return &Parent{Version: v.Version, Checkpoint: v.Checkpoint}, ""
}

// parents adds the versions of a model that runs start from now, or will by the newest
// specs.
func (s *State) parents(m *Model, needed map[thalweg.ModelVersion]bool) {
	for _, p := range s.pipelines {
		if spec := p.Newest(); spec.Model == m.Name && spec.WarmStart > 0 {
			needed[thalweg.ModelVersion(spec.WarmStart)] = true
		}
		if r := s.runs[p.ActiveRun]; r != nil && r.Parent != nil && p.Spec(r.Generation).Model == m.Name {
			needed[r.Parent.Version] = true
		}
	}
}
