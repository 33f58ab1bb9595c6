package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Task is one piece of work that a worker holds by lease: one of a run's stage,
// or a topic partition to score.
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
	Attempts uint32        `json:"attempts,omitempty"`
	Losses   uint32        `json:"losses,omitempty"`
	Failures []TaskFailure `json:"failures,omitempty"`
	// Partials are what a finished map task wrote, one for each reducer. Outputs,
	// Metrics, Counts and Rows are what the finished task reported besides.
	Partials []string           `json:"partials,omitempty"`
	Outputs  map[string]string  `json:"outputs,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Counts   map[string]int64   `json:"counts,omitempty"`
	Rows     int64              `json:"rows,omitempty"`
	// Checkpoint is the newest that this replica saved, key#sha256.
	Checkpoint string `json:"checkpoint,omitempty"`

	run       *Run       // of a stage's task
	stage     *Stage     // likewise
	partition *Partition // of a topic partition's task
}

// TaskFailure is one failed attempt.
type TaskFailure struct {
	Worker thalweg.WorkerID `json:"worker"`
	Error  string           `json:"error"`
}

// scoreKind is the kind of a topic partition's task.
const scoreKind = "score"

// Run returns the run that the task belongs to, nil for a topic partition.
func (t *Task) Run() *Run { return t.run }

// Stage returns the stage that the task belongs to, nil for a topic partition.
func (t *Task) Stage() *Stage { return t.stage }

// Kind returns the name of the task's stage, or score for a topic partition.
func (t *Task) Kind() string {
	if t.stage == nil {
		return scoreKind
	}
	return t.stage.Name
}

// IsPartition reports whether the task is to score a topic partition.
func (t *Task) IsPartition() bool { return t.partition != nil }

// IsReplica reports whether the task runs side by side with those of its stage.
func (t *Task) IsReplica() bool { return t.stage != nil && t.stage.Over == stages.OverReplicas }

// FailedOn reports whether an attempt failed on the worker.
func (t *Task) FailedOn(w thalweg.WorkerID) bool {
	for _, f := range t.Failures {
		if f.Worker == w {
			return true
		}
	}
	return false
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
	t.Partials, t.Outputs, t.Metrics, t.Counts, t.Checkpoint = nil, nil, nil, nil, ""
}

// heldWith reports whether token is that of the task's live lease.
func (t *Task) heldWith(token thalweg.Token) bool {
	return t.State == TaskLeased && t.Token == token
}

// ScoreTaskID names a leased topic partition.
func ScoreTaskID(p thalweg.PipelineName, partition uint32) thalweg.TaskID {
	return thalweg.TaskID(fmt.Sprintf("%s/%s@%d", p, scoreKind, partition))
}

// grant leases a waiting task to a worker.
func (s *State) grant(t *Task, c *GrantLeases, now at) {
	t.State = TaskLeased
	t.Worker, t.Incarnation, t.Address, t.Token = c.Worker, c.Incarnation, c.Address, thalweg.Token(now.index)
	t.Attempts++
	if t.partition != nil {
		t.partition.LeasedMS = now.timeMS
	}
	s.hold(t)
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

// loseLease ends a lease together with its worker and counts the loss.
func (s *State) loseLease(t *Task, now at) {
	worker := t.Worker
	s.endLease(t, TaskWaiting)
	t.Losses++
	if t.run != nil && t.Losses >= MaxLosses {
		s.failRun(t.run, now, fmt.Sprintf("%s: %d workers were lost while they held it, %s the last", t.ID, t.Losses, worker))
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
