package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// Promote points an alias of a model at a version; a rollback is a promote of an
// older one.
type Promote struct {
	Model   thalweg.ModelName    `json:"model"`
	Alias   string               `json:"alias"`
	Version thalweg.ModelVersion `json:"version"`
}

func (*Promote) name() string { return "promote" }

func (c *Promote) concerns(Answer) (thalweg.PipelineName, string) {
	return "", fmt.Sprintf("model %s: %s is version %d", c.Model, c.Alias, c.Version)
}

func (c *Promote) apply(s *State) Answer {
	m := s.models[c.Model]
	if m == nil || m.Retired() {
		return failure(thalweg.NotFound, c.name(), "model "+string(c.Model), "")
	}
	switch v := m.Version(c.Version); {
	case v == nil:
		return failure(thalweg.NotFound, c.name(), fmt.Sprintf("model %s version %d", c.Model, c.Version),
			fmt.Sprintf("there are versions %d to %d", m.Before+1, m.last()))
	case v.Retired:
		return failure(thalweg.NotFound, c.name(), fmt.Sprintf("model %s version %d", c.Model, c.Version),
			"it is of a pipeline that was deleted")
	case v.Collected:
		return failure(thalweg.NotFound, c.name(), fmt.Sprintf("model %s version %d", c.Model, c.Version),
			"its checkpoint was collected (trainer.keep_checkpoints); `thalweg models` tells which versions have theirs")
	}
	if c.Alias == "" || len(c.Alias) > 64 {
		return failure(thalweg.Invalid, c.name(), fmt.Sprintf("alias %q", c.Alias), "a name of 1 to 64 bytes")
	}
	if m.Aliases[c.Alias] == nil && len(m.Aliases) >= MaxAliases {
		return failure(thalweg.Exhausted, c.name(), fmt.Sprintf("alias %q", c.Alias),
			fmt.Sprintf("model %s has %d aliases already", c.Model, MaxAliases))
	}
	previous := m.point(c.Alias, c.Version)
	ends := m.Aliases[c.Alias].Rollout.Going()
	s.aliasMoved(m.Aliases[c.Alias]) // by the champion itself, too: somebody has decided
	if previous != c.Version {
		s.championMoved(m.Name, c.Alias)
	}
	return Answer{Previous: previous, Version: c.Version, Rejected: m.Version(c.Version).Rejected, Changed: previous != c.Version || ends}
}
