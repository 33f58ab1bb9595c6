package state

import (
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
)

// Serving is what the state needs to know of the service of a spec.
type Serving struct {
	Workers uint32 `json:"workers"` // that answer, each for all; no more than there are
	// RequestsPerSecond bounds what a client may ask of each coordinator; 0: nothing does.
	RequestsPerSecond float64 `json:"requests_per_second,omitempty"`
}

// flaw says what is wrong with a service, "" if nothing is.
func (k *Serving) flaw() string {
	if k != nil && (k.Workers < 1 || k.Workers > MaxEndpoints || !(k.RequestsPerSecond >= 0)) {
		return fmt.Sprintf("serving: %d workers of 1 to %d, %v requests a second", k.Workers, MaxEndpoints, k.RequestsPerSecond)
	}
	return ""
}

// Endpoint is one of the workers that answer for a pipeline: the task of whoever does.
type Endpoint struct {
	Task *Task `json:"task"`
	Failing

	Pipeline *Pipeline `json:"-"`
}

// serveKind is the kind of an endpoint's task.
const serveKind = "serve"

// ServeTaskID names a leased endpoint.
func ServeTaskID(p thalweg.PipelineName, endpoint uint32) thalweg.TaskID {
	return thalweg.TaskID(fmt.Sprintf("%s/%s@%d", p, serveKind, endpoint))
}

// IsEndpoint reports whether the task is to answer for a pipeline.
func (t *Task) IsEndpoint() bool { return t.Endpoint != nil }

// Serves reports whether the pipeline's endpoints can be leased now: it has a champion, and
// is not being deleted.
func (s *State) Serves(p *Pipeline) bool {
	return len(p.Endpoints) > 0 && p.Deletion == nil && len(s.Champion(p)) > 0
}

// setEndpoints gives the pipeline as many endpoints as its service wants. Those that stay
// keep their leases: who holds one takes over a new spec without a pause.
func (s *State) setEndpoints(p *Pipeline, k *Serving) {
	n := 0
	if k != nil {
		n = int(k.Workers)
	}
	for len(p.Endpoints) > n {
		last := p.Endpoints[len(p.Endpoints)-1]
		s.endLease(last.Task, TaskWaiting)
		delete(s.tasks, last.Task.ID)
		p.Endpoints = p.Endpoints[:len(p.Endpoints)-1]
	}
	for i := uint32(len(p.Endpoints)); int(i) < n; i++ {
		e := &Endpoint{Pipeline: p}
		e.Task = &Task{ID: ServeTaskID(p.Name, i), Index: i, State: TaskWaiting, Endpoint: e}
		p.Endpoints = append(p.Endpoints, e)
		s.tasks[e.Task.ID] = e.Task
	}
	for _, e := range p.Endpoints {
		e.Failing = Failing{}
	}
	if len(p.Endpoints) == 0 {
		p.Endpoints = nil
	}
}

// endpoint ends the lease of an endpoint whose worker has given it back, or cannot hold it.
func (c *ReportTask) endpoint(s *State, t *Task) {
	s.endLease(t, TaskWaiting)
	if c.Failure != nil {
		t.Endpoint.fail(s.timeMS, t)
	}
}

// restoreEndpoints checks and links the endpoints of a pipeline of a snapshot.
func (s *State) restoreEndpoints(subject string, p *Pipeline) error {
	wanted := 0
	if k := p.Newest().Serving; k != nil && p.Deletion == nil {
		if flaw := k.flaw(); flaw != "" {
			return damaged(subject, errors.New(flaw))
		}
		wanted = int(k.Workers)
	}
	if len(p.Endpoints) != wanted {
		return damaged(subject, fmt.Errorf("%d endpoints, its spec wants %d", len(p.Endpoints), wanted))
	}
	for i, e := range p.Endpoints {
		if e == nil || e.Task == nil || e.Task.Index != uint32(i) || e.Task.ID != ServeTaskID(p.Name, uint32(i)) ||
			e.Task.State != TaskWaiting && e.Task.State != TaskLeased {
			return damaged(subject, fmt.Errorf("endpoint %d: %w", i, errMissing))
		}
		e.Pipeline, e.Task.Endpoint = p, e
		if err := s.restoreTask(e.Task); err != nil {
			return err
		}
	}
	return nil
}
