package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// GrantLeases leases waiting tasks to a worker. The token of each is the index
// of this entry.
type GrantLeases struct {
	Worker      thalweg.WorkerID `json:"worker"`
	Incarnation string           `json:"incarnation"`
	Address     string           `json:"address,omitempty"` // where the worker serves its peers
	// Grants name the tasks with the lease before, against which each grant was
	// planned: where another was granted since, it has no effect.
	Grants []Lease `json:"grants"`
}

func (*GrantLeases) name() string { return "grant leases" }

func (c *GrantLeases) apply(s *State) Answer {
	var answer Answer
	for _, l := range c.Grants {
		t := s.find(l, TaskWaiting)
		if c.Worker == "" || t == nil || t.Backup != nil || t.Partition != nil && t.Partition.Stopped != "" {
			continue // a task whose worker is gone is left to its backup
		}
		t.State, t.Worker, t.Incarnation, t.Address, t.Token = TaskLeased, c.Worker, c.Incarnation, c.Address, thalweg.Token(s.index)
		t.Attempts++
		t.LeasedMS = s.timeMS
		s.hold(t)
		answer.Changed = true
	}
	return answer
}

// ReleaseLeases ends leases before their tasks are done. Leases granted after
// the plan stay.
type ReleaseLeases struct {
	Leases []Lease `json:"leases"`
	// Lost names the worker where its process is gone, which counts against the
	// tasks that it held. Empty: it is leaving, or a partition moves to another.
	Lost thalweg.WorkerID `json:"lost,omitempty"`
	// Reached is the newest exchange that the trainings of lost replicas had come to.
	Reached map[thalweg.RunID]uint64 `json:"reached,omitempty"`
}

// Release returns the command that ends the leases of tasks.
func Release(lost thalweg.WorkerID, tasks ...*Task) *ReleaseLeases {
	c := &ReleaseLeases{Lost: lost}
	for _, t := range tasks {
		c.Leases = append(c.Leases, t.Lease())
	}
	return c
}

func (*ReleaseLeases) name() string { return "release leases" }

func (c *ReleaseLeases) apply(s *State) Answer {
	var answer Answer
	for _, l := range c.Leases {
		// The loss of one task may have ended the run of another.
		t := s.find(l, TaskLeased)
		if t == nil {
			continue
		}
		answer.Changed = true
		if t.Of != nil { // the other worker goes on
			s.dropBackup(t.Of)
			continue
		}
		s.endLease(t, TaskWaiting)
		if t.Partition != nil {
			s.advanceDeletion(t.Partition.Pipeline)
		}
		if c.Lost == "" {
			continue
		}
		if t.Run != nil && c.Reached[t.Run.ID] > t.LostAt {
			t.LostAt, t.Losses = c.Reached[t.Run.ID], 0
		}
		s.lose(t, fmt.Sprintf("%d workers were lost while they held it, %s the last", t.Losses+1, c.Lost))
	}
	return answer
}

// lose counts a lease that ended because of its worker, and ends the run, or the job, of a
// task of which too many did.
func (s *State) lose(t *Task, why string) {
	if t.Losses++; t.Losses < MaxLosses {
		return
	}
	why = fmt.Sprintf("%s: %s", t.ID, why)
	switch {
	case t.Run != nil:
		s.endRun(t.Run, RunFailed, why)
	case t.Job != nil:
		s.endJob(t.Job, RunFailed, why)
	}
}

// GrantBackup leases a task that takes much longer than the others of its stage to a
// second worker. Which tasks those are is the leader's judgement, by its clock; what
// follows is in the entry.
type GrantBackup struct {
	Worker      thalweg.WorkerID `json:"worker"`
	Incarnation string           `json:"incarnation"`
	// Slow is the lease of the task: if it has ended since, or the task has a backup, the
	// grant has no effect.
	Slow Lease `json:"slow"`
}

func (*GrantBackup) name() string { return "grant backup" }

func (c *GrantBackup) apply(s *State) Answer {
	t := s.find(c.Slow, TaskLeased)
	if c.Worker == "" || t == nil || !t.MayBackUp(c.Worker) {
		return Answer{}
	}
	b := t.newBackup()
	b.State, b.Worker, b.Incarnation, b.Token, b.Attempts, b.LeasedMS = TaskLeased, c.Worker, c.Incarnation, thalweg.Token(s.index), 1, s.timeMS
	t.Backup = b
	t.Backups++
	s.tasks[b.ID] = b
	s.hold(b)
	return Answer{Changed: true}
}

// backupSuffix tells a backup from the task that it backs up, to workers too.
const backupSuffix = ".backup"

// MayBackUp reports whether a worker may do a task that another worker is doing. Not a
// replica: they wait for each other in every round, and a second one would be a peer more.
func (t *Task) MayBackUp(w thalweg.WorkerID) bool {
	return t.Of == nil && t.Stage != nil && !t.IsReplica() && t.Backup == nil && t.Backups < MaxBackups && t.Worker != w && !t.FailedOn(w)
}

// newBackup returns the backup of a task: a task with a name and a lease of its own that
// does the same.
func (t *Task) newBackup() *Task {
	return &Task{ID: t.ID + backupSuffix, Index: t.Index, Reduce: t.Reduce, Run: t.Run, Stage: t.Stage, Of: t}
}

// original returns the task that a backup repeats, and any other task itself.
func (t *Task) original() *Task {
	if t.Of != nil {
		return t.Of
	}
	return t
}

// dropBackup ends the backup of a task, if there is one, and forgets it.
func (s *State) dropBackup(t *Task) {
	if b := t.Backup; b != nil {
		s.endLease(b, TaskWaiting)
		delete(s.tasks, b.ID)
		t.Backup = nil
	}
}

// settle marks a task done by whichever was first, itself or its backup. The other's
// lease ends; who held it is remembered until the stage is over, as a report may be on the
// way.
func (s *State) settle(t *Task, by *Task) {
	s.endLease(t, TaskDone)
	t.TookMS = s.timeMS - by.LeasedMS
	if b := t.Backup; b != nil {
		s.endLease(b, TaskDone)
		if by == b {
			t.Worker, b.Worker = b.Worker, t.Worker
			t.Incarnation, b.Incarnation = b.Incarnation, t.Incarnation
		}
	}
}

// difference tells how the results of the slower of two workers differ from those that a
// done task has, "" if they do not: the same inputs give the same bytes.
func (t *Task) difference(other Results) string {
	tell := func(what, a, b string) string {
		return fmt.Sprintf("%s: workers %s and %s came to different results, %s is %s and %s: they run different builds, or one of the machines is faulty",
			t.ID, t.Worker, quoted(string(t.Backup.Worker)), what, quoted(a), quoted(b))
	}
	for i := range max(len(t.Partials), len(other.Partials)) {
		if a, b := at(t.Partials, i), at(other.Partials, i); a != b {
			return tell(fmt.Sprintf("partial %d", i), a, b)
		}
	}
	for _, name := range sortedKeys(merged(merged(nil, t.Outputs), other.Outputs)) {
		if a, b := t.Outputs[name], other.Outputs[name]; a != b {
			return tell(name, a, b)
		}
	}
	return ""
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// flawOfBackup says what is wrong with the backup of a task of a snapshot.
func (t *Task) flawOfBackup() string {
	b := t.Backup
	switch want := t.newBackup(); {
	case b.ID != want.ID || b.Index != t.Index || b.Reduce != t.Reduce || b.Backup != nil:
		return "its backup is another task's"
	case t.Stage == nil || t.IsReplica() || t.Backups < 1:
		return "it cannot have a backup"
	case b.State != TaskLeased && b.State != TaskDone || (b.State == TaskDone) != (t.State == TaskDone):
		return fmt.Sprintf("its backup is %.40q", b.State)
	}
	return ""
}
