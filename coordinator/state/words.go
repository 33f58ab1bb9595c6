package state

import (
	"fmt"
	"slices"
)

// Work is what a task does. The first six are a run's stages, in order, so that
// a greater one is further on; Score is a leased topic partition.
type Work uint8

// The kinds of work. Numbers and names are append-only.
const (
	Profile  Work = 1
	Clean    Work = 2
	Fit      Work = 3
	Train    Work = 4
	Evaluate Work = 5
	Register Work = 6
	Score    Work = 7
)

var workNames = []string{"", "profile", "clean", "fit", "train", "evaluate", "register", "score"}

func (w Work) String() string { return word(workNames, w) }

// MarshalText writes the name.
func (w Work) MarshalText() ([]byte, error) { return marshalWord(workNames, w) }

// UnmarshalText reads the name.
func (w *Work) UnmarshalText(text []byte) error { return unmarshalWord(workNames, w, text) }

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

func (t TaskState) String() string { return word(taskStateNames, t) }

// MarshalText writes the name.
func (t TaskState) MarshalText() ([]byte, error) { return marshalWord(taskStateNames, t) }

// UnmarshalText reads the name.
func (t *TaskState) UnmarshalText(text []byte) error { return unmarshalWord(taskStateNames, t, text) }

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

func (t StageState) String() string { return word(stageStateNames, t) }

// MarshalText writes the name.
func (t StageState) MarshalText() ([]byte, error) { return marshalWord(stageStateNames, t) }

// UnmarshalText reads the name.
func (t *StageState) UnmarshalText(text []byte) error {
	return unmarshalWord(stageStateNames, t, text)
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

func (t RunState) String() string { return word(runStateNames, t) }

// MarshalText writes the name.
func (t RunState) MarshalText() ([]byte, error) { return marshalWord(runStateNames, t) }

// UnmarshalText reads the name.
func (t *RunState) UnmarshalText(text []byte) error { return unmarshalWord(runStateNames, t, text) }

// word returns the name of an enumeration's value.
func word[E ~uint8](names []string, v E) string {
	if v > 0 && int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown(%d)", uint8(v))
}

func marshalWord[E ~uint8](names []string, v E) ([]byte, error) {
	if v == 0 || int(v) >= len(names) {
		return nil, fmt.Errorf("no name for value %d", uint8(v))
	}
	return []byte(names[v]), nil
}

func unmarshalWord[E ~uint8](names []string, v *E, text []byte) error {
	i := slices.Index(names, string(text))
	if i <= 0 {
		return fmt.Errorf("unknown word %q", text)
	}
	*v = E(i)
	return nil
}
