package state

// TaskState is how far a task has come.
type TaskState string

// The states of a task. One that is done or has failed is never leased again.
const (
	TaskWaiting TaskState = "waiting"
	TaskLeased  TaskState = "leased"
	TaskDone    TaskState = "done"
	TaskFailed  TaskState = "failed"
)

// StageState is how far a stage of a run has come.
type StageState string

// The states of a stage; the last two are final.
const (
	StageWaiting StageState = "waiting"
	StageRunning StageState = "running"
	StageDone    StageState = "done"
	StageFailed  StageState = "failed"
)

// RunState is how far a run has come.
type RunState string

// The states of a run; all but the first are final.
const (
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunCanceled  RunState = "canceled"
)
