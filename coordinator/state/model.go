package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
)

// Model is a line of registered checkpoints.
type Model struct {
	Name thalweg.ModelName `json:"name"`
	// Versions are numbered without a gap, from 1 unless Before says what numbers a
	// model of this name may have had that is forgotten.
	Before   thalweg.ModelVersion `json:"before,omitempty"`
	Versions []*ModelVersion      `json:"versions"`
	Aliases  map[string]*Alias    `json:"aliases,omitempty"`
}

// ModelVersion is one registered checkpoint. What it is never changes.
type ModelVersion struct {
	Version      thalweg.ModelVersion `json:"version"`
	Checkpoint   string               `json:"checkpoint"` // key#sha256
	Run          thalweg.RunID        `json:"run"`
	Pipeline     thalweg.PipelineName `json:"pipeline"`
	Generation   thalweg.Generation   `json:"generation"`
	RegisteredMS int64                `json:"registered_ms"`
	Index        uint64               `json:"index"` // of the entry that registered it
	// Objects names the objects of its training data.
	Objects string `json:"objects,omitempty"`
	// Parent is the version whose weights its training started from; 0: none.
	Parent        thalweg.ModelVersion `json:"parent,omitempty"`
	Metrics       map[string]float64   `json:"metrics,omitempty"`
	Warnings      []string             `json:"warnings,omitempty"` // of the run
	ModelSHA256   string               `json:"model_sha256,omitempty"`
	TransformHash string               `json:"transform_hash,omitempty"`
	// Exports are its objects in other formats, key#sha256 by format.
	Exports map[string]string `json:"exports,omitempty"`
	// Rejected says which gates it did not pass, or what its rollout found, so that the alias
	// did not move to it; empty: nothing.
	Rejected string `json:"rejected,omitempty"`
	// Retired is set when the pipelines of the model were deleted: rows that it scored
	// can be there still, and a later version has another number.
	Retired bool `json:"retired,omitempty"`
	// Collected is set when its checkpoint is removed, or about to be.
	Collected bool `json:"collected,omitempty"`
}

// Alias is a movable name of a version.
type Alias struct {
	Version thalweg.ModelVersion `json:"version"`
	// Replaced are other versions that the alias pointed to, the last one first:
	// what serves when the version turns out to be damaged.
	Replaced []thalweg.ModelVersion `json:"replaced,omitempty"`
	// Rollout is the last that there was, or the one that is going on; nil: none.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Tried are the candidates of the rollouts before that one, the last one first: a stream can
	// have a claim of them still.
	Tried []thalweg.ModelVersion `json:"tried,omitempty"`
}

// Version returns the given version, or nil.
func (m *Model) Version(v thalweg.ModelVersion) *ModelVersion {
	if v <= m.Before || v > m.last() {
		return nil
	}
	return m.Versions[v-m.Before-1]
}

// AliasesOf returns the aliases that point to a version, in order.
func (m *Model) AliasesOf(v thalweg.ModelVersion) (names []string) {
	for _, name := range sortedKeys(m.Aliases) {
		if m.Aliases[name].Version == v {
			names = append(names, name)
		}
	}
	return names
}

// last returns the number of the newest version.
func (m *Model) last() thalweg.ModelVersion {
	return m.Before + thalweg.ModelVersion(len(m.Versions))
}

// Retired reports whether no version is one of a pipeline that is there.
func (m *Model) Retired() bool {
	return !slices.ContainsFunc(m.Versions, func(v *ModelVersion) bool { return !v.Retired })
}

// retire takes the model out of use, its checkpoints removed or not. Its numbers
// stay taken.
func (m *Model) retire(removed bool) {
	m.Aliases = nil
	for _, v := range m.Versions {
		v.Retired, v.Collected = true, v.Collected || removed
	}
}

// point moves an alias and returns the version that it pointed to.
func (m *Model) point(alias string, to thalweg.ModelVersion) (previous thalweg.ModelVersion) {
	if m.Aliases == nil {
		m.Aliases = make(map[string]*Alias)
	}
	a := m.Aliases[alias]
	if a == nil {
		m.Aliases[alias] = &Alias{Version: to}
		return 0
	}
	previous = a.Version
	if previous == to {
		return previous
	}
	a.Replaced = slices.DeleteFunc(a.Replaced, func(v thalweg.ModelVersion) bool { return v == to })
	a.Replaced = slices.Insert(a.Replaced, 0, previous)
	a.Replaced = a.Replaced[:min(len(a.Replaced), MaxReplaced)]
	a.Version = to
	return previous
}

// FromChampion is a WarmStart from the version that the alias of the spec names.
const FromChampion = -1

// VersionRef names a version that a run needs, which keeps its checkpoint while the run
// goes on.
type VersionRef struct {
	Version    thalweg.ModelVersion `json:"version"`
	Checkpoint string               `json:"checkpoint"` // key#sha256
}

func (v *ModelVersion) ref() *VersionRef { return &VersionRef{v.Version, v.Checkpoint} }

// Parent returns the version whose weights a run of a spec starts from now, nil where it
// starts anew; flaw says why it cannot start from the one that the spec names.
func (s *State) Parent(spec *Spec) (parent *VersionRef, flaw string) {
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
	return v.ref(), ""
}

// neededByRuns adds the versions of a model that runs need now, or will by the newest
// specs.
func (s *State) neededByRuns(m *Model, needed map[thalweg.ModelVersion]bool) {
	for _, p := range s.pipelines {
		if spec := p.Newest(); spec.Model == m.Name && spec.WarmStart > 0 {
			needed[thalweg.ModelVersion(spec.WarmStart)] = true
		}
		r := s.runs[p.ActiveRun]
		if r == nil || p.Spec(r.Generation).Model != m.Name {
			continue
		}
		for _, of := range []*VersionRef{r.Parent, r.Champion} {
			if of != nil {
				needed[of.Version] = true
			}
		}
	}
}
