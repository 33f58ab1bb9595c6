package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Task is one piece of work that a worker holds by lease: one of a run's stage, a
// topic partition to score, an endpoint that answers for a pipeline, or a job.
type Task struct {
	ID     thalweg.TaskID `json:"id"`
	Reduce bool           `json:"reduce,omitempty"`
	Index  uint32         `json:"index"` // among the map tasks, the reducers or the partitions
	State  TaskState      `json:"state"`
	// Worker and Incarnation name the holder while the task is leased, and who did
	// it once it is done. Token is that of the newest lease, 0 before the first.
	Worker      thalweg.WorkerID `json:"worker,omitempty"`
	Incarnation string           `json:"incarnation,omitempty"`
	Token       thalweg.Token    `json:"token,omitempty"`
	// Address is where the holder serves its peers.
	Address string `json:"address,omitempty"`
	// Attempts counts the leases granted and Losses those that ended with their
	// worker. Failures are the attempts that were reported as failed.
	Attempts uint32 `json:"attempts,omitempty"`
	Losses   uint32 `json:"losses,omitempty"`
	// LostAt is the newest exchange that a replica's training had come to when it lost its
	// worker: losses are counted anew when the training has come further.
	LostAt   uint64        `json:"lost_at,omitempty"`
	Failures []TaskFailure `json:"failures,omitempty"`
	Results
	// LeasedMS is when it was leased last, and TookMS how long the lease took that did it.
	LeasedMS int64 `json:"leased_ms,omitempty"`
	TookMS   int64 `json:"took_ms,omitempty"`
	// Backup is the same task, leased to a second worker because it takes long; Backups
	// counts those that there were.
	Backup  *Task  `json:"backup,omitempty"`
	Backups uint32 `json:"backups,omitempty"`
	// Checkpoint is the newest that this replica saved, key#sha256.
	Checkpoint string `json:"checkpoint,omitempty"`

	// Run and Stage are those of a stage's task, Partition that of a topic
	// partition's, Endpoint that of an endpoint's, and Job that of a job's; the others are nil.
	Run       *Run       `json:"-"`
	Stage     *Stage     `json:"-"`
	Partition *Partition `json:"-"`
	Endpoint  *Endpoint  `json:"-"`
	Job       *Job       `json:"-"`
	// Of is the task that a backup repeats, nil for all others.
	Of *Task `json:"-"`
}

// Results are what a task reports when it is done.
type Results struct {
	// Partials are what a map task wrote, one for each reducer of its stage.
	Partials []string           `json:"partials,omitempty"`
	Outputs  map[string]string  `json:"outputs,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Counts   map[string]int64   `json:"counts,omitempty"`
	Rows     int64              `json:"rows,omitempty"` // rows treated, for show
	Warnings []string           `json:"warnings,omitempty"`
}

// TaskFailure is one failed attempt.
type TaskFailure struct {
	Worker thalweg.WorkerID `json:"worker"`
	Error  string           `json:"error"`
}

// scoreKind is the kind of a topic partition's task.
const scoreKind = "score"

// Kind returns the name of the task's stage, the kind of its job, score for a topic
// partition, or serve for an endpoint.
func (t *Task) Kind() string {
	switch {
	case t.Job != nil:
		return t.Job.Kind
	case t.Endpoint != nil:
		return serveKind
	case t.Stage == nil:
		return scoreKind
	}
	return t.Stage.Name
}

// IsPartition reports whether the task is to score a topic partition.
func (t *Task) IsPartition() bool { return t.Partition != nil }

// IsReplica reports whether the task runs side by side with those of its stage.
func (t *Task) IsReplica() bool { return t.Stage != nil && t.Stage.Over == stages.OverReplicas }

// FailedOn reports whether an attempt failed on the worker.
func (t *Task) FailedOn(w thalweg.WorkerID) bool {
	return slices.ContainsFunc(t.Failures, func(f TaskFailure) bool { return f.Worker == w })
}

// LastError returns the text of the newest failed attempt, empty if there is
// none.
func (t *Task) LastError() string {
	if len(t.Failures) == 0 {
		return ""
	}
	return t.Failures[len(t.Failures)-1].Error
}

// forgetResults drops what a task reported, once the run has gathered it.
func (t *Task) forgetResults() {
	t.Results, t.Checkpoint = Results{Rows: t.Rows}, ""
}

// Lease names one lease of a task by its token.
type Lease struct {
	Task  thalweg.TaskID `json:"task"`
	Token thalweg.Token  `json:"token,omitempty"`
}

// Lease returns the newest lease; its token is 0 before the first.
func (t *Task) Lease() Lease { return Lease{t.ID, t.Token} }

// find returns the task of a lease, nil where the lease is not its newest or the
// task is in another state.
func (s *State) find(l Lease, in TaskState) *Task {
	if t := s.tasks[l.Task]; t != nil && t.Token == l.Token && t.State == in {
		return t
	}
	return nil
}

// ScoreTaskID names a leased topic partition.
func ScoreTaskID(p thalweg.PipelineName, partition uint32) thalweg.TaskID {
	return thalweg.TaskID(fmt.Sprintf("%s/%s@%d", p, scoreKind, partition))
}

// endLease takes the lease from a task that is leased and leaves it in the given
// state. A waiting task has no worker; a done one keeps who did it.
func (s *State) endLease(t *Task, to TaskState) {
	if t.State == TaskLeased {
		held := s.held[t.Worker]
		delete(held, t.ID)
		if len(held) == 0 {
			delete(s.held, t.Worker)
		}
	}
	t.State = to
	if to == TaskWaiting {
		t.Worker, t.Incarnation, t.Address = "", "", ""
	}
}

// hold enters a leased task into the index of holders.
func (s *State) hold(t *Task) {
	held := s.held[t.Worker]
	if held == nil {
		held = make(map[thalweg.TaskID]*Task)
		s.held[t.Worker] = held
	}
	held[t.ID] = t
}

// TaskState is how far a task has come.
type TaskState string

// The states of a task. One that is done or has failed is never leased again.
const (
	TaskWaiting TaskState = "waiting"
	TaskLeased  TaskState = "leased"
	TaskDone    TaskState = "done"
	TaskFailed  TaskState = "failed"
)

// Failing counts failed attempts in a row, the last of which was at FailedMS: the next lease
// waits the longer, the more there were.
type Failing struct {
	Failures uint32 `json:"failures,omitempty"`
	FailedMS int64  `json:"failed_ms,omitempty"`
}

// fail counts a failure of a task, the first again if it had been calm.
func (f *Failing) fail(nowMS int64, t *Task) {
	if nowMS-t.LeasedMS > CalmMS {
		f.Failures = 0
	}
	f.Failures++
	f.FailedMS = nowMS
}
