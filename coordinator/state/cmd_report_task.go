package state

import "github.com/thalweg/thalweg"

// ReportTask reports that a task is done or has failed. A report whose token is
// not that of the task's lease is fenced: answered, not applied.
type ReportTask struct {
	Task    thalweg.TaskID `json:"task"`
	Token   thalweg.Token  `json:"token"`
	Failure *ReportFailure `json:"failure,omitempty"` // nil: done
	// Partials are what a map task wrote for each of its stage's reducers.
	Partials []string           `json:"partials,omitempty"`
	Outputs  map[string]string  `json:"outputs,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Counts   map[string]int64   `json:"counts,omitempty"`
	Rows     int64              `json:"rows,omitempty"` // rows treated, for show
}

// ReportFailure says why a task failed. A permanent one would fail anywhere.
type ReportFailure struct {
	Error     string `json:"error"`
	Permanent bool   `json:"permanent,omitempty"`
}

func (*ReportTask) name() string { return "report task" }

func (c *ReportTask) apply(s *State, now at) Answer {
	t := s.tasks[c.Task]
	switch {
	case t == nil:
		return Answer{Fenced: true}
	case t.State == TaskDone && t.Token == c.Token:
		return Answer{} // a repetition
	case !t.heldWith(c.Token):
		return Answer{Fenced: true}
	case t.partition != nil:
		c.scorer(s, t, now)
	case c.Failure != nil:
		c.failed(s, t, now)
	default:
		c.done(s, t, now)
	}
	return Answer{Changed: true}
}

// scorer ends the lease of a partition: given back, failed and to be
// tried again, or stopped until an operator resumes the stream.
func (c *ReportTask) scorer(s *State, t *Task, now at) {
	s.endLease(t, TaskWaiting)
	if c.Failure == nil {
		return
	}
	p := t.partition
	if now.timeMS-p.LeasedMS > CalmMS {
		p.Failures = 0
	}
	p.Failures++
	p.FailedMS, p.LastError = now.timeMS, clip(quoted(c.Failure.Error))
	if c.Failure.Permanent {
		p.Stopped = p.LastError
	}
}

func (c *ReportTask) failed(s *State, t *Task, now at) {
	t.Failures = append(t.Failures, TaskFailure{Worker: t.Worker, Error: clip(quoted(c.Failure.Error))})
	if !c.Failure.Permanent && len(t.Failures) < MaxFailures {
		s.endLease(t, TaskWaiting)
		return
	}
	s.endLease(t, TaskFailed)
	s.failRun(t.run, now, failureText(t))
}

func (c *ReportTask) done(s *State, t *Task, now at) {
	s.endLease(t, TaskDone)
	t.Partials, t.Outputs, t.Metrics, t.Counts, t.Rows = c.Partials, c.Outputs, c.Metrics, c.Counts, max(c.Rows, 0)
	stage := t.stage
	stage.Done++
	if !t.Reduce || stage.Maps == 0 { // a merge treats no rows of its own
		stage.Rows += t.Rows
	}
	if flaw := stage.flawOfReport(t); flaw != "" {
		s.failRun(t.run, now, flaw)
		return
	}
	s.taskDone(t.run, now)
}
