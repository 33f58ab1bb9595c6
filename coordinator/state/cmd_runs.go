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

// CancelRun ends a run. Cancelling a canceled run again changes nothing.
type CancelRun struct {
	Run thalweg.RunID `json:"run"`
}

func (*CancelRun) name() string { return "cancel run" }

func (c *CancelRun) concerns(Answer) (thalweg.PipelineName, string) {
	return c.Run.Pipeline(), "run " + string(c.Run)
}

func (c *CancelRun) apply(s *State) Answer {
	r := s.runs[c.Run]
	switch {
	case r == nil:
		return failure(thalweg.NotFound, c.name(), "run "+string(c.Run), "")
	case r.State != RunRunning:
		return c.Ended(r)
	}
	s.endRun(r, RunCanceled, "canceled")
	return Answer{Run: r.ID, Changed: true}
}

// Ended is the answer for a run that has ended, in the state or as a record.
func (c *CancelRun) Ended(r *Run) Answer {
	if r.State == RunCanceled {
		return Answer{Run: r.ID}
	}
	return failure(thalweg.Conflict, c.name(), "run "+string(r.ID), "it has ended: "+string(r.State))
}

// DropRuns takes runs that ended out of the state. Their records are in the
// bucket, under the cluster's ID, and have been read back.
type DropRuns struct {
	// Cluster is the cluster's ID, or what is to be it if it has none: then the
	// leader has made one up. Under another ID the command has no effect.
	Cluster string          `json:"cluster"`
	Runs    []thalweg.RunID `json:"runs"`
}

// takeCluster reports whether an ID is the cluster's; where it has none, it is from now.
func (s *State) takeCluster(id string) bool {
	if id == "" || len(id) > MaxClusterIDBytes || s.cluster != "" && s.cluster != id {
		return false
	}
	s.cluster = id
	return true
}

func (*DropRuns) name() string { return "drop runs" }

func (c *DropRuns) apply(s *State) Answer {
	var answer Answer
	if !s.takeCluster(c.Cluster) {
		return answer
	}
	for _, id := range c.Runs {
		if r := s.runs[id]; r != nil && r.State != RunRunning {
			delete(s.runs, id)
			answer.Changed = true
		}
	}
	return answer
}
