package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// ReportTask reports that a task is done or has failed. A report whose token is
// not that of the task's lease is fenced: answered, not applied.
type ReportTask struct {
	Task    thalweg.TaskID `json:"task"`
	Token   thalweg.Token  `json:"token"`
	Failure *ReportFailure `json:"failure,omitempty"` // nil: done
	Results
}

// ReportFailure says why a task failed. A permanent one would fail anywhere; one of the
// worker says nothing of the task, and counts as if the worker had been lost.
type ReportFailure struct {
	Error     string `json:"error"`
	Permanent bool   `json:"permanent,omitempty"`
	OfWorker  bool   `json:"of_worker,omitempty"`
}

func (*ReportTask) name() string { return "report task" }

func (c *ReportTask) apply(s *State) Answer {
	t := s.tasks[c.Task]
	switch {
	case t == nil:
		return Answer{Fenced: true}
	case t.State == TaskDone && t.Token == c.Token:
		return c.again(s, t.original())
	case t.State != TaskLeased || t.Token != c.Token:
		return Answer{Fenced: true}
	case t.Partition != nil:
		c.scorer(s, t)
		s.advanceDeletion(t.Partition.Pipeline)
	case t.Endpoint != nil:
		c.endpoint(s, t)
	case t.Job != nil && c.Failure != nil:
		c.failed(s, t)
	case t.Job != nil:
		s.jobDone(t.Job, c.Results)
	case c.Failure != nil && t.Of != nil: // the other worker goes on
		s.dropBackup(t.Of)
	case c.Failure != nil:
		c.failed(s, t)
		return endedBy(t)
	default:
		c.done(s, t)
		return endedBy(t)
	}
	return Answer{Changed: true}
}

// endedBy names the stage that the report of a task ended, if it did.
func endedBy(t *Task) Answer {
	if t = t.original(); t.Stage.State == StageRunning {
		return Answer{Changed: true}
	}
	return Answer{Changed: true, Stage: t.Stage.Name}
}

// again takes a report on a task that is done: a repetition, or that of the other of two
// workers, which must be the same.
func (c *ReportTask) again(s *State, t *Task) Answer {
	if t.Backup == nil || c.Failure != nil {
		return Answer{}
	}
	flaw := t.difference(c.Results)
	if flaw != "" {
		s.endRun(t.Run, RunFailed, flaw)
	}
	return Answer{Changed: flaw != ""}
}

// scorer ends the lease of a partition: given back, failed and to be
// tried again, or stopped until an operator resumes the stream.
func (c *ReportTask) scorer(s *State, t *Task) {
	s.endLease(t, TaskWaiting)
	if c.Failure == nil {
		return
	}
	p := t.Partition
	p.fail(s.timeMS, t)
	p.LastError = clip(quoted(c.Failure.Error))
	if c.Failure.Permanent {
		p.Stopped = p.LastError
	}
}

// failed ends the lease of a task of a run, or of a job: it is tried again, or what it is of
// has failed.
func (c *ReportTask) failed(s *State, t *Task) {
	if c.Failure.OfWorker && !c.Failure.Permanent {
		worker := t.Worker
		s.endLease(t, TaskWaiting)
		s.lose(t, fmt.Sprintf("%d workers could not do it, %s the last: %s", t.Losses+1, worker, c.Failure.Error))
		return
	}
	t.Failures = append(t.Failures, TaskFailure{Worker: t.Worker, Error: clip(quoted(c.Failure.Error))})
	if !c.Failure.Permanent && len(t.Failures) < MaxFailures {
		s.endLease(t, TaskWaiting)
		return
	}
	if t.Job != nil {
		s.endJob(t.Job, RunFailed, t.LastError())
		return
	}
	s.endLease(t, TaskFailed)
	s.endRun(t.Run, RunFailed, failureText(t))
}

func (c *ReportTask) done(s *State, by *Task) {
	t := by.original()
	s.settle(t, by)
	t.Results = c.Results
	t.Rows = max(t.Rows, 0)
	stage := t.Stage
	stage.Done++
	if !t.Reduce || stage.Maps == 0 { // a merge treats no rows of its own
		stage.Rows += t.Rows
	}
	if flaw := stage.flawOfReport(t); flaw != "" {
		s.endRun(t.Run, RunFailed, flaw)
		return
	}
	s.taskDone(t.Run)
}

// SaveCheckpoint notes a checkpoint that a replica saved, so that a
// replica which changes hands can resume from it.
type SaveCheckpoint struct {
	Task       thalweg.TaskID `json:"task"`
	Token      thalweg.Token  `json:"token"`
	Checkpoint string         `json:"checkpoint"` // key#sha256
}

func (*SaveCheckpoint) name() string { return "save checkpoint" }

func (c *SaveCheckpoint) apply(s *State) Answer {
	t := s.find(Lease{c.Task, c.Token}, TaskLeased)
	if t == nil || !t.IsReplica() {
		return Answer{Fenced: true}
	}
	if t.Checkpoint == c.Checkpoint {
		return Answer{}
	}
	t.Checkpoint, t.Run.Checkpoint = c.Checkpoint, c.Checkpoint
	t.Losses = 0 // it gets on, so it is not what its workers died of
	return Answer{Changed: true}
}
