package state

import (
	"fmt"
	"slices"
)

// Over is what the tasks of a stage are over.
type Over uint8

// The units that stages are cut into.
const (
	// OverTasks is a number of tasks that the plan names; 0 for a stage that only
	// reduces.
	OverTasks Over = 1
	// OverShards is the dataset's shards, as many as an earlier stage counted.
	OverShards Over = 2
	// OverReplicas is a number of tasks that run side by side: they know each
	// other's places, take no slot and resume from the run's newest checkpoint.
	OverReplicas Over = 3
	// OverNothing has no tasks: the leader registers the run's checkpoint as a
	// model version, which ends the run.
	OverNothing Over = 4
)

var overNames = []string{"", "tasks", "shards", "replicas", "nothing"}

func (o Over) String() string { return name(overNames, o) }

// MarshalText writes the name.
func (o Over) MarshalText() ([]byte, error) { return marshalName(overNames, o) }

// UnmarshalText reads the name.
func (o *Over) UnmarshalText(text []byte) error { return unmarshalName(overNames, o, text) }

// TaskState is how far a task has come.
type TaskState uint8

// The states of a task, in order of progress.
const (
	TaskWaiting TaskState = 1
	TaskLeased  TaskState = 2
	TaskDone    TaskState = 3
	TaskFailed  TaskState = 4
)

var taskStateNames = []string{"", "waiting", "leased", "done", "failed"}

func (t TaskState) String() string { return name(taskStateNames, t) }

// MarshalText writes the name.
func (t TaskState) MarshalText() ([]byte, error) { return marshalName(taskStateNames, t) }

// UnmarshalText reads the name.
func (t *TaskState) UnmarshalText(text []byte) error { return unmarshalName(taskStateNames, t, text) }

// StageState is how far a stage of a run has come.
type StageState uint8

// The states of a stage, in order of progress.
const (
	StageWaiting StageState = 1
	StageRunning StageState = 2
	StageDone    StageState = 3
	StageFailed  StageState = 4
)

var stageStateNames = []string{"", "waiting", "running", "done", "failed"}

func (t StageState) String() string { return name(stageStateNames, t) }

// MarshalText writes the name.
func (t StageState) MarshalText() ([]byte, error) { return marshalName(stageStateNames, t) }

// UnmarshalText reads the name.
func (t *StageState) UnmarshalText(text []byte) error {
	return unmarshalName(stageStateNames, t, text)
}

// RunState is how far a run has come.
type RunState uint8

// The states of a run; all but the first are final.
const (
	RunRunning   RunState = 1
	RunSucceeded RunState = 2
	RunFailed    RunState = 3
	RunCanceled  RunState = 4
)

var runStateNames = []string{"", "running", "succeeded", "failed", "canceled"}

func (t RunState) String() string { return name(runStateNames, t) }

// MarshalText writes the name.
func (t RunState) MarshalText() ([]byte, error) { return marshalName(runStateNames, t) }

// UnmarshalText reads the name.
func (t *RunState) UnmarshalText(text []byte) error { return unmarshalName(runStateNames, t, text) }

// name returns the name of an enumeration's value.
func name[E ~uint8](names []string, v E) string {
	if v > 0 && int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown(%d)", uint8(v))
}

func marshalName[E ~uint8](names []string, v E) ([]byte, error) {
	if v == 0 || int(v) >= len(names) {
		return nil, fmt.Errorf("no name for value %d", uint8(v))
	}
	return []byte(names[v]), nil
}

func unmarshalName[E ~uint8](names []string, v *E, text []byte) error {
	i := slices.Index(names, string(text))
	if i <= 0 {
		return fmt.Errorf("unknown name %q", text)
	}
	*v = E(i)
	return nil
}
