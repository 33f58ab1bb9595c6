package state

import "strings"

// The bounds of the state. They keep snapshots and answers small enough to be
// sent whole; each is far above what one cluster of CPU workers can use.
const (
	// MaxRequests is the number of answers kept for repeated request ids. A client
	// retries for seconds, and no cluster takes thousands of commands by hand in
	// that time.
	MaxRequests       = 4096
	MaxRequestIDBytes = 128     // of one request id
	MaxClusterIDBytes = 64      // of the cluster's ID
	MaxPipelines      = 1000    // of the cluster
	MaxSpecBytes      = 1 << 20 // of a rendered spec
	MaxHashBytes      = 64      // of a hash that is compared only: sha256 in hex
	MaxGenerations    = 50      // the newest are kept, of each pipeline
	MaxSinks          = 50      // where rows of a pipeline went: the latest are kept
	MaxDeleted        = 1000    // pipelines that were deleted; of older ones a bound of their numbers is kept

	// MaxRuns is the number of newest runs kept per pipeline; older ones that ended
	// become records in the bucket. MaxHeldRuns is how many are kept while the
	// bucket takes no records. Then no run is started: none is forgotten.
	MaxRuns     = 100
	MaxHeldRuns = 200

	MaxStages         = 32      // of a run
	MaxStageNameBytes = 64      // of the name of a stage, an output or a verb
	MaxStageOutputs   = 64      // that a stage must leave
	MaxArguments      = 64      // of a job
	MaxWarnings       = 32      // of a run; further ones are not kept
	MaxReplicas       = 1024    // of one training
	MaxTasks          = 1 << 16 // map tasks of one stage: some 400 bytes of state each
	MaxWaves          = 1024    // of one stage
	MaxWavingTasks    = 4096    // of one stage whose tasks come in waves, each of which may read all before it
	enoughTasks       = 32      // of a stage over shards, to share among workers; of more shards
	shardsTogether    = 4       // so many are a task, as each costs its report, its lease and two writes to the log
	MaxShards         = 1 << 24 // of a dataset; beyond MaxTasks a task gets several
	MaxReducers       = 256     // of one stage
	MaxPartials       = 1 << 17 // that map tasks of one stage address to its reducers: some 130 bytes each
	// MaxHeldPartials bounds the partials that the reducers of one worker read, so
	// that its leases fit into one answer: those of one reducer of the largest stage.
	MaxHeldPartials = MaxTasks
	MaxKeptTasks    = 256 // that a run keeps for show once it has ended

	MaxTokens         = 1000 // that are not expired
	MaxTokenPipelines = 64   // names or prefixes of one token
	// MaxAudit is how many audit records are kept while the bucket takes none, some 600
	// bytes each. Then no mutation is carried out, but for auditReserve revocations.
	MaxAudit     = 4096
	auditReserve = 64
	maxAuditText = 256 // bytes of one text of an audit record

	// MaxJobs is the number of newest jobs kept per pipeline once they ended: enough to find
	// one's own. MaxGoingJobs are those that may be going, so that nobody's waiting jobs keep
	// other pipelines' from starting, and MaxAllGoingJobs those of all pipelines.
	MaxJobs          = 20
	MaxGoingJobs     = 16
	MaxAllGoingJobs  = 256
	MaxJobParameters = 64 << 10 // bytes: names and expressions, or a small event

	MaxPartitions   = 4096    // of one topic
	MaxEndpoints    = 64      // of one pipeline
	MaxTopicIDBytes = 64      // 32 hex digits, and room for other brokers' ideas
	MaxVersions     = 100_000 // of one model
	MaxAliases      = 64      // of one model
	MaxRolloutSteps = 16      // of one rollout
	MaxVerdicts     = 32      // of one rollout that are kept, some 2 KiB each
	MaxReplaced     = 16      // versions remembered of those that an alias pointed to before
	maxCollected    = 1000    // versions that one command collects
	MaxTextBytes    = 4 << 10 // of an error text kept in the state

	// MaxFailures is the number of failed attempts that ends a run. The scheduler
	// sends the second attempt to another worker where there is one, so a task that
	// reaches it is at fault, not its worker.
	MaxFailures = 2
	// MaxLosses is the number of leases of one task that may end with their worker
	// before the run is failed: a task that takes its workers down with it must
	// not circulate for ever. Those of a training replica are counted anew when the
	// training gets further: with each exchange that is done, and each checkpoint.
	MaxLosses = 10
	// MaxBackups is how often a task is leased to a second worker as well.
	MaxBackups = 2
	// CalmMS is how long a partition must have been scored, in milliseconds, for
	// its earlier failures to be forgotten.
	CalmMS = 60_000
)

// clip cuts a text to MaxTextBytes, at a rune boundary.
func clip(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), MaxTextBytes)], "")
}
