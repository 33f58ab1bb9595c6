package state

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Job is one piece of work that somebody asked for and waits for, such as a look at a
// pipeline's results: one task, which any worker can do. A run leaves something for the
// pipeline; a job leaves an answer.
type Job struct {
	ID       thalweg.JobID        `json:"id"`
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Kind     string               `json:"kind"`
	// Parameters are what the kind is told, in JSON. The state does not read them.
	Parameters string   `json:"parameters,omitempty"`
	By         string   `json:"by,omitempty"` // who asked for it
	State      RunState `json:"state"`
	Error      string   `json:"error,omitempty"` // why it did not succeed
	StartedMS  int64    `json:"started_ms"`
	EndedMS    int64    `json:"ended_ms,omitempty"`
	StartIndex uint64   `json:"start_index"` // of the entry that started it
	// Task is the work. Once it is done, its token says which attempt's answer counts.
	Task *Task `json:"task"`
	// Answer describes the answer; nil until the job has succeeded.
	Answer *JobAnswer `json:"answer,omitempty"`
}

// JobAnswer describes the answer of a job, which lies in the state bucket (stages.AnswerPart).
type JobAnswer struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hex
}

// Job returns the job, or nil.
func (s *State) Job(id thalweg.JobID) *Job { return s.jobs[id] }

// Jobs yields the jobs that are kept, in the order in which they started.
func (s *State) Jobs() iter.Seq[*Job] { return slices.Values(inOrder(s.jobs)) }

// WaitingJobs returns the tasks of jobs that no worker has, in the order in which they
// started.
func (s *State) WaitingJobs() (tasks []*Task) {
	for _, j := range inOrder(s.goingJobs) {
		if j.Task.State == TaskWaiting {
			tasks = append(tasks, j.Task)
		}
	}
	return tasks
}

func inOrder(jobs map[thalweg.JobID]*Job) []*Job {
	return slices.SortedFunc(sorted(jobs), func(a, b *Job) int { return cmp.Compare(a.StartIndex, b.StartIndex) })
}

// newTask returns the task that a job begins with.
func (j *Job) newTask() *Task {
	return &Task{ID: thalweg.TaskID(string(j.ID) + "/" + j.Kind), State: TaskWaiting, Job: j}
}

// enterJob makes a job that is going known to workers.
func (s *State) enterJob(j *Job) {
	s.jobs[j.ID], s.goingJobs[j.ID], s.tasks[j.Task.ID] = j, j, j.Task
}

// endJob ends a job that is going.
func (s *State) endJob(j *Job, to RunState, why string) {
	after := TaskWaiting
	if to == RunSucceeded {
		after = TaskDone
	}
	s.endLease(j.Task, after)
	delete(s.tasks, j.Task.ID)
	delete(s.goingJobs, j.ID)
	j.Task.forgetResults()
	j.State, j.Error, j.EndedMS = to, clip(why), s.timeMS
}

// endJobs ends all jobs of a pipeline that are going.
func (s *State) endJobs(p thalweg.PipelineName, why string) {
	for _, j := range inOrder(s.goingJobs) {
		if j.Pipeline == p {
			s.endJob(j, RunCanceled, why)
		}
	}
}

// jobDone takes what a job's worker reports of its answer.
func (s *State) jobDone(j *Job, r Results) {
	answer := &JobAnswer{Bytes: r.Counts[stages.AnswerBytes], SHA256: r.Outputs[stages.AnswerSHA256]}
	if flaw := answer.flaw(); flaw != "" {
		s.endJob(j, RunFailed, flaw)
		return
	}
	j.Task.TookMS = s.timeMS - j.Task.LeasedMS
	s.endJob(j, RunSucceeded, "")
	j.Answer = answer
}

// flaw says what is wrong with an answer, "" if nothing is.
func (a *JobAnswer) flaw() string {
	if a.Bytes < 0 || a.Bytes > stages.MaxAnswerBytes || len(a.SHA256) != MaxHashBytes {
		return fmt.Sprintf("an answer of %d bytes, at most %d, with sha256 %.80q", a.Bytes, stages.MaxAnswerBytes, a.SHA256)
	}
	return ""
}

// flaw says why a job cannot be started like this, "" if it can.
func (c *StartJob) flaw() string {
	switch {
	case c.Kind == "" || len(c.Kind) > MaxStageNameBytes || len(c.By) > MaxTextBytes:
		return fmt.Sprintf("kind %.80q: a name of 1 to %d bytes", c.Kind, MaxStageNameBytes)
	case len(c.Parameters) > MaxJobParameters:
		return fmt.Sprintf("parameters of %d bytes, at most %d", len(c.Parameters), MaxJobParameters)
	case c.Parameters != "" && !json.Valid([]byte(c.Parameters)):
		return "parameters that are not JSON"
	}
	return ""
}

// restoreJob checks and enters a job of a snapshot.
func (s *State) restoreJob(j *Job) error {
	if j == nil || j.ID == "" || s.jobs[j.ID] != nil {
		return damaged("job", errTwice)
	}
	subject, going := "job "+string(j.ID), j.State == RunRunning
	flaw := (&StartJob{Kind: j.Kind, Parameters: j.Parameters, By: j.By}).flaw()
	switch t := j.Task; {
	case t == nil || s.pipelines[j.Pipeline] == nil || j.ID != thalweg.NewJobID(j.Pipeline, j.StartIndex) || t.ID != j.newTask().ID || t.Backup != nil:
		return damaged(subject, errMissing)
	case !slices.Contains([]RunState{RunRunning, RunSucceeded, RunFailed, RunCanceled}, j.State), (j.State == RunSucceeded) != (t.State == TaskDone),
		!going && t.State == TaskLeased, t.State == TaskFailed, (j.State == RunSucceeded) != (j.Answer != nil):
		return damaged(subject, fmt.Errorf("it is %.40q, and its task %.40q", j.State, t.State))
	case j.Answer != nil && j.Answer.flaw() != "":
		flaw = j.Answer.flaw()
	case going && len(t.Failures) >= MaxFailures:
		flaw = fmt.Sprintf("it goes on after %d failures", len(t.Failures))
	}
	if flaw != "" {
		return damaged(subject, errors.New(flaw))
	}
	j.Task.Job, s.jobs[j.ID] = j, j
	if !going {
		return nil
	}
	if err := s.restoreTask(j.Task); err != nil {
		return err
	}
	s.enterJob(j)
	return nil
}
