package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// StartJob starts a job of a pipeline.
type StartJob struct {
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Kind       string               `json:"kind"`
	Parameters string               `json:"parameters,omitempty"` // JSON
	By         string               `json:"by,omitempty"`         // who asks for it, to be shown
}

func (*StartJob) name() string { return "start job" }

func (c *StartJob) concerns(a Answer) (thalweg.PipelineName, string) {
	return c.Pipeline, fmt.Sprintf("job %s %s", a.Job, c.Kind)
}

func (c *StartJob) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.Deletion != nil {
		return beingDeleted(c, p)
	}
	if flaw := c.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), flaw)
	}
	going := 0
	var ended []*Job // oldest first
	for j := range s.Jobs() {
		switch {
		case j.Pipeline != c.Pipeline:
		case j.State == RunRunning:
			going++
		default:
			ended = append(ended, j)
		}
	}
	if going >= MaxGoingJobs || len(s.goingJobs) >= MaxAllGoingJobs {
		return failure(thalweg.Exhausted, c.name(), "pipeline "+string(c.Pipeline),
			fmt.Sprintf("%d jobs of it are going, and %d in all, at most %d and %d: wait for one, or `thalweg jobs cancel` it", going, len(s.goingJobs), MaxGoingJobs, MaxAllGoingJobs))
	}
	for _, j := range ended[:max(0, len(ended)+1-MaxJobs)] {
		delete(s.jobs, j.ID)
	}
	j := &Job{ID: thalweg.NewJobID(c.Pipeline, s.index), Pipeline: c.Pipeline, Kind: c.Kind, Parameters: c.Parameters, By: c.By,
		State: RunRunning, StartedMS: s.timeMS, StartIndex: s.index}
	j.Task = j.newTask()
	s.enterJob(j)
	return Answer{Pipeline: c.Pipeline, Job: j.ID, Changed: true}
}

// CancelJob ends a job. Cancelling a canceled job again changes nothing.
type CancelJob struct {
	Job thalweg.JobID `json:"job"`
}

func (*CancelJob) name() string { return "cancel job" }

func (c *CancelJob) concerns(Answer) (thalweg.PipelineName, string) {
	return c.Job.Pipeline(), "job " + string(c.Job)
}

func (c *CancelJob) apply(s *State) Answer {
	j := s.jobs[c.Job]
	switch {
	case j == nil:
		return failure(thalweg.NotFound, c.name(), "job "+string(c.Job), "`thalweg jobs` lists those that are kept")
	case j.State == RunCanceled:
		return Answer{Pipeline: j.Pipeline, Job: j.ID}
	case j.State != RunRunning:
		return failure(thalweg.Conflict, c.name(), "job "+string(c.Job), "it has ended: "+string(j.State))
	}
	s.endJob(j, RunCanceled, "canceled")
	return Answer{Pipeline: j.Pipeline, Job: j.ID, Changed: true}
}
