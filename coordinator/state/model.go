package state

import (
	"slices"

	"github.com/thalweg/thalweg"
)

// Model is a line of registered checkpoints.
type Model struct {
	Name thalweg.ModelName `json:"name"`
	// Versions are numbered from 1: version v is Versions[v-1].
	Versions []*ModelVersion   `json:"versions"`
	Aliases  map[string]*Alias `json:"aliases,omitempty"`
}

// ModelVersion is one registered checkpoint. It never changes.
type ModelVersion struct {
	Version       thalweg.ModelVersion `json:"version"`
	Checkpoint    string               `json:"checkpoint"` // key#sha256
	Run           thalweg.RunID        `json:"run"`
	Pipeline      thalweg.PipelineName `json:"pipeline"`
	Generation    thalweg.Generation   `json:"generation"`
	RegisteredMS  int64                `json:"registered_ms"`
	Index         uint64               `json:"index"` // of the entry that registered it
	Metrics       map[string]float64   `json:"metrics,omitempty"`
	Warnings      []string             `json:"warnings,omitempty"` // of the run
	ModelSHA256   string               `json:"model_sha256,omitempty"`
	TransformHash string               `json:"transform_hash,omitempty"`
}

// Alias is a movable name of a version.
type Alias struct {
	Version thalweg.ModelVersion `json:"version"`
	// Replaced are other versions that the alias pointed to, the last one first:
	// what serves when the version turns out to be damaged.
	Replaced []thalweg.ModelVersion `json:"replaced,omitempty"`
}

// Version returns the given version, or nil.
func (m *Model) Version(v thalweg.ModelVersion) *ModelVersion {
	if v < 1 || uint64(v) > uint64(len(m.Versions)) {
		return nil
	}
	return m.Versions[v-1]
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
