package state

// The bounds of the state. They keep snapshots and answers small enough to be
// sent whole; each is far above what one cluster of CPU workers can use.
const (
	// MaxRequests is the number of answers kept for repeated request ids. A client
	// retries for seconds, and no cluster takes thousands of commands by hand in
	// that time.
	MaxRequests = 4096
	// MaxRequestIDBytes bounds one request id.
	MaxRequestIDBytes = 128
	// MaxClusterIDBytes bounds the cluster's ID.
	MaxClusterIDBytes = 64
	// MaxPipelines bounds the pipelines.
	MaxPipelines = 1000
	// MaxSpecBytes bounds a rendered spec.
	MaxSpecBytes = 1 << 20
	// MaxHashBytes bounds a hash that is compared only: sha256 in hex.
	MaxHashBytes = 64
	// MaxGenerations is the number of newest generations kept per pipeline.
	MaxGenerations = 50
	// MaxRuns is the number of newest runs kept per pipeline; older ones that ended
	// become records in the bucket.
	MaxRuns = 100
	// MaxHeldRuns is how many are kept while the bucket takes no records. Then no
	// run is started: none is forgotten.
	MaxHeldRuns = 200
	// MaxStages bounds the stages of a run.
	MaxStages = 32
	// MaxStageNameBytes bounds the name of a stage, an output or a verb.
	MaxStageNameBytes = 64
	// MaxStageOutputs bounds the outputs that a stage must leave.
	MaxStageOutputs = 64
	// MaxArguments bounds the arguments of a job.
	MaxArguments = 64
	// MaxTasks bounds the map tasks of one stage: some 400 bytes of state each.
	MaxTasks = 1 << 16
	// MaxShards bounds the shards of a dataset; beyond MaxTasks a task gets several.
	MaxShards = 1 << 24
	// MaxReducers bounds the reducers of one stage.
	MaxReducers = 256
	// MaxPartials bounds what the map tasks of one stage address to its reducers:
	// some 130 bytes of state each.
	MaxPartials = 1 << 17
	// MaxHeldPartials bounds the partials that the reducers of one worker read, so
	// that its leases fit into one answer: those of one reducer of the largest stage.
	MaxHeldPartials = MaxTasks
	// MaxReplicas bounds the replicas of one training.
	MaxReplicas = 1024
	// MaxKeptTasks is the number of tasks that a run keeps for show once it has
	// ended.
	MaxKeptTasks = 256
	// MaxPartitions bounds the partitions of one topic.
	MaxPartitions = 4096
	// MaxTopicIDBytes bounds the ID of a topic: 32 hex digits, and room for other
	// brokers' ideas.
	MaxTopicIDBytes = 64
	// MaxVersions bounds the versions of one model.
	MaxVersions = 100_000
	// MaxAliases bounds the aliases of one model.
	MaxAliases = 64
	// MaxReplaced is the number of versions remembered per alias, newest first, of
	// those that it pointed to before.
	MaxReplaced = 16
	// MaxTextBytes bounds an error text kept in the state.
	MaxTextBytes = 4 << 10
	// MaxFailures is the number of failed attempts that ends a run. The scheduler
	// sends the second attempt to another worker where there is one, so a task that
	// reaches it is at fault, not its worker.
	MaxFailures = 2
	// MaxLosses is the number of leases of one task that may end with their worker
	// before the run is failed: a task that takes its workers down with it must
	// not circulate for ever. A training replica starts anew with each checkpoint.
	MaxLosses = 10
	// CalmMS is how long a partition must have been scored, in milliseconds, for
	// its earlier failures to be forgotten.
	CalmMS = 60_000
)

// clip cuts a text to MaxTextBytes, at a rune boundary.
func clip(text string) string {
	if len(text) <= MaxTextBytes {
		return text
	}
	cut := MaxTextBytes
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut]
}
