package worker

// Attribute keys of this package's log lines.
const (
	keyWorker = "worker"
	keyTask   = "task"
	keyToken  = "token"
	keyError  = "error"
	keyTook   = "took"
	keyLeases = "leases"
)
