package state

import "github.com/thalweg/thalweg"

// SetStream pauses or resumes a pipeline's stream. A paused stream keeps its
// leases. Resuming also lets partitions go on that a permanent failure stopped.
type SetStream struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Paused   bool                 `json:"paused"`
}

func (*SetStream) name() string { return "set stream" }
func (*SetStream) kind() Kind   { return kindSetStream }

func (c *SetStream) apply(s *State, _ at) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.Newest().Topic == "" {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), "its spec has no scoring section")
	}
	answer := Answer{Pipeline: p.Name, Changed: p.Paused != c.Paused}
	p.Paused = c.Paused
	if !c.Paused {
		p.PauseReason = ""
		p.Resumes++
		for _, part := range p.Partitions {
			answer.Changed = answer.Changed || part.Stopped != ""
			part.forgive()
		}
	}
	return answer
}
