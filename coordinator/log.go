package coordinator

// The attribute keys of the log.
const (
	keyNode     = "node"
	keyAddress  = "address"
	keyTerm     = "term"
	keyWorker   = "worker"
	keyTask     = "task"
	keyToken    = "token"
	keyRun      = "run"
	keyPipeline = "pipeline"
	keyModel    = "model"
	keyVersion  = "version"
	keyError    = "error"
	keyMember   = "member"

	keyPartition = "partition"
	keyReason    = "reason"
)
