package state

import (
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// StartRun starts a run of a pipeline's newest generation: its batch half, or a
// job that works with it. A pipeline has one active run at most.
type StartRun struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	// Generation is the one that the stages were planned for.
	Generation thalweg.Generation `json:"generation"`
	Stages     []stages.Plan      `json:"stages"`
	Verb       string             `json:"verb,omitempty"` // of a job; empty: the spec's batch half
	Arguments  map[string]string  `json:"arguments,omitempty"`
}

func (*StartRun) name() string { return "start run" }

func (c *StartRun) concerns(a Answer) (thalweg.PipelineName, string) {
	return c.Pipeline, strings.TrimSpace(fmt.Sprintf("run %s %s", a.Run, c.Verb))
}

func (c *StartRun) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.Deletion != nil {
		return beingDeleted(c, p)
	}
	if c.Verb == stages.PurgeVerb {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), "only the deletion of a pipeline purges")
	}
	if p.ActiveRun != "" {
		return failure(thalweg.Exists, c.name(), "run "+string(p.ActiveRun), "it is still going; wait for it or cancel it")
	}
	if g := p.Newest().Generation; g != c.Generation {
		return failure(thalweg.Conflict, c.name(), fmt.Sprintf("%s generation %d", c.Pipeline, c.Generation),
			fmt.Sprintf("generation %d was accepted meanwhile; try again", g))
	}
	if flaw := c.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), flaw)
	}
	if _, flaw := s.Parent(p.Newest()); flaw != "" && c.Verb == "" {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), flaw)
	}
	if full := s.overfull(p.Name); full != "" {
		return failure(thalweg.Exhausted, c.name(), "pipeline "+string(c.Pipeline), full)
	}
	r := s.startRun(p, c)
	return Answer{Pipeline: p.Name, Generation: r.Generation, Run: r.ID, Changed: true}
}

// flaw says why no run can be started like this, "" if one can.
func (c *StartRun) flaw() string {
	if len(c.Verb) > MaxStageNameBytes || len(c.Arguments) > MaxArguments {
		return fmt.Sprintf("verb %.80q with %d arguments; at most %d are possible", c.Verb, len(c.Arguments), MaxArguments)
	}
	if c.Verb == "" && len(c.Arguments) > 0 {
		return "arguments without a verb"
	}
	for _, name := range sortedKeys(c.Arguments) {
		if len(name)+len(c.Arguments[name]) > MaxTextBytes {
			return fmt.Sprintf("argument %.80q is longer than %d bytes", name, MaxTextBytes)
		}
	}
	return flawOfPlan(c.Stages)
}
