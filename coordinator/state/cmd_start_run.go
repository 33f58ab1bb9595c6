package state

import "github.com/thalweg/thalweg"

// StartRun starts another run of a pipeline's newest generation. A pipeline has
// one active run at most.
type StartRun struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
}

func (*StartRun) name() string { return "start run" }
func (*StartRun) kind() Kind   { return kindStartRun }

func (c *StartRun) apply(s *State, now at) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.ActiveRun != "" {
		return failure(thalweg.Exists, c.name(), "run "+string(p.ActiveRun), "it is still going; wait for it or cancel it")
	}
	r := s.startRun(p, now)
	return Answer{Pipeline: p.Name, Generation: r.Generation, Run: r.ID, Changed: true}
}
