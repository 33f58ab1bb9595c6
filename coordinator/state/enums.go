package state

import (
	"fmt"
	"slices"
)

// Enum is an enumeration whose values are ordered and print as the words that
// users see. 0 is no value.
type Enum[N names] uint8

// names are the words of an enumeration, that of 1 first.
type names interface{ names() []string }

// String returns the word of a value.
func (e Enum[N]) String() string {
	var n N
	if e > 0 && int(e) <= len(n.names()) {
		return n.names()[e-1]
	}
	return fmt.Sprintf("unknown(%d)", uint8(e))
}

// MarshalText writes the word.
func (e Enum[N]) MarshalText() ([]byte, error) {
	var n N
	if e == 0 || int(e) > len(n.names()) {
		return nil, fmt.Errorf("no name for value %d", uint8(e))
	}
	return []byte(e.String()), nil
}

// UnmarshalText reads the word.
func (e *Enum[N]) UnmarshalText(text []byte) error {
	var n N
	i := slices.Index(n.names(), string(text))
	if i < 0 {
		return fmt.Errorf("unknown name %q", text)
	}
	*e = Enum[N](i + 1)
	return nil
}

// TaskState is how far a task has come.
type TaskState = Enum[taskStateNames]

// The states of a task, in order of progress.
const (
	TaskWaiting TaskState = 1
	TaskLeased  TaskState = 2
	TaskDone    TaskState = 3
	TaskFailed  TaskState = 4
)

type taskStateNames struct{}

func (taskStateNames) names() []string { return []string{"waiting", "leased", "done", "failed"} }

// StageState is how far a stage of a run has come.
type StageState = Enum[stageStateNames]

// The states of a stage, in order of progress.
const (
	StageWaiting StageState = 1
	StageRunning StageState = 2
	StageDone    StageState = 3
	StageFailed  StageState = 4
)

type stageStateNames struct{}

func (stageStateNames) names() []string { return []string{"waiting", "running", "done", "failed"} }

// RunState is how far a run has come.
type RunState = Enum[runStateNames]

// The states of a run; all but the first are final.
const (
	RunRunning   RunState = 1
	RunSucceeded RunState = 2
	RunFailed    RunState = 3
	RunCanceled  RunState = 4
)

type runStateNames struct{}

func (runStateNames) names() []string { return []string{"running", "succeeded", "failed", "canceled"} }
