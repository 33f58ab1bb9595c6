package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// DeletePipeline deletes a pipeline: its run is canceled, and no lease of its
// stream is granted any more. Once the last one has been given back, with Purge
// after a run that removes what the pipeline has written, it is gone (Tombstone).
// Repeating the command starts a purge again that failed, or goes on without it.
type DeletePipeline struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Purge    bool                 `json:"purge,omitempty"`
	// Stages and Arguments are those of the run that purges.
	Stages    []stages.Plan     `json:"stages,omitempty"`
	Arguments map[string]string `json:"arguments,omitempty"`
}

func (*DeletePipeline) name() string { return "delete pipeline" }

func (c *DeletePipeline) concerns(Answer) (thalweg.PipelineName, string) {
	if c.Purge {
		return c.Pipeline, "with what it wrote"
	}
	return c.Pipeline, ""
}

func (c *DeletePipeline) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return c.gone(s.deleted[c.Pipeline])
	}
	if c.Purge {
		if flaw := (&StartRun{Verb: stages.PurgeVerb, Stages: c.Stages, Arguments: c.Arguments}).flaw(); flaw != "" {
			return failure(thalweg.Invalid, c.name(), string(c.Pipeline), flaw)
		}
	}
	answer := Answer{Pipeline: p.Name, Generation: p.Newest().Generation, Changed: p.Deletion == nil}
	if r := s.runs[p.ActiveRun]; r != nil && r.Verb != stages.PurgeVerb {
		s.endRun(r, RunCanceled, "its pipeline is being deleted")
	}
	s.endJobs(p.Name, "its pipeline is being deleted")
	if p.ActiveRun == "" { // else a purge is under way, which ends by itself
		d := &Deletion{Purge: c.Purge, Stages: c.Stages, Arguments: c.Arguments}
		if before := p.Deletion; before != nil && before.Failed != "" && !c.Purge {
			d.Note = "a purge that failed may have removed a part of what it wrote"
		}
		p.Deletion = d
	}
	s.setEndpoints(p, nil)
	s.advanceDeletion(p)
	return answer
}

// gone is the answer for a pipeline that is not there.
func (c *DeletePipeline) gone(t *Tombstone) Answer {
	switch {
	case t == nil:
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	case c.Purge && !t.Purged:
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline),
			fmt.Sprintf("it was deleted at generation %d, and what it wrote was kept: apply its spec again, then delete it with purge", t.Generation))
	}
	return Answer{Pipeline: t.Pipeline, Generation: t.Generation}
}
