package state

import (
	"slices"

	"github.com/thalweg/thalweg"
)

// CollectVersions marks versions whose checkpoints are about to be removed: no
// alias can point to them any more. One that is needed by now stays.
type CollectVersions struct {
	Model    thalweg.ModelName      `json:"model"`
	Versions []thalweg.ModelVersion `json:"versions"`
}

func (*CollectVersions) name() string { return "collect versions" }

func (c *CollectVersions) apply(s *State) Answer {
	var answer Answer
	m := s.models[c.Model]
	if m == nil {
		return answer
	}
	due := s.Collectable(m)
	for _, v := range c.Versions {
		if slices.Contains(due, v) {
			m.Version(v).Collected, answer.Changed = true, true
		}
	}
	for _, a := range m.Aliases {
		a.Replaced = slices.DeleteFunc(a.Replaced, func(v thalweg.ModelVersion) bool { return m.Version(v).Collected })
	}
	return answer
}

// keptReplaced is how many of the versions that an alias replaced last are kept:
// a stream can still have a claim of one, and falls back on it when the version of
// the alias turns out to be damaged.
const keptReplaced = 2

// Collectable returns the versions of a model whose checkpoints its specs keep no
// longer, oldest first: neither among the newest of the largest number that one of
// them names, nor under an alias or just replaced there, nor needed by a run. A model
// that no pipeline uses keeps all.
func (s *State) Collectable(m *Model) []thalweg.ModelVersion {
	keep := 0
	for _, p := range s.pipelines {
		if spec := p.Newest(); spec.Model == m.Name {
			keep = max(keep, int(spec.Keep))
		}
	}
	if keep == 0 {
		return nil
	}
	needed := make(map[thalweg.ModelVersion]bool)
	for _, a := range m.Aliases {
		needed[a.Version] = true
		if a.Rollout != nil { // a stream can have a claim of it still
			needed[a.Rollout.Candidate] = true
		}
		for _, v := range append(a.Tried[:len(a.Tried):len(a.Tried)], a.Replaced[:min(len(a.Replaced), keptReplaced)]...) {
			needed[v] = true
		}
	}
	s.neededByRuns(m, needed)
	var due []thalweg.ModelVersion
	for _, v := range m.Versions[:max(0, len(m.Versions)-keep)] {
		if len(due) == maxCollected {
			break
		}
		if !v.Collected && !needed[v.Version] {
			due = append(due, v.Version)
		}
	}
	return due
}
