package jobs

import "context"

// Kind is one kind of job.
type Kind struct {
	// Name is that of the verb which asks for it. The role that it takes is in the table
	// of coordinator/auth.
	Name string
	// run carries a job out. It may be run again on another worker after one was lost in
	// the middle, and both may go on for a while: what it writes has names that follow
	// from what it was asked for. An error that would be the same on any worker has the kind
	// Invalid, Unsupported or NotFound.
	run func(ctx context.Context, j *Job) error
}

// Kinds returns the catalog. To add a kind: a file with its parameters, its answer and what
// it does, a line here, and one in coordinator/auth/catalog.go.
func Kinds() []Kind {
	return []Kind{
		{"fsck", with(runFsck)},
		{"results", with(runResults)},
		{"lineage", with(runLineage)},
		{"diff", with(runDiff)},
		{"replay", with(runReplay)},
		{"dlq-list", with(runListLetters)},
		{"dlq-show", with(runShowLetters)},
		{"dlq-replay", with(runReplayLetters)},
		{"verify", with(runVerify)},
		{"checkpoint", with(runCheckpoint)},
		{"evaluation", with(runEvaluation)},
		{"drift", with(runDrift)},
		{"quality", with(runQuality)},
	}
}
