package scorer

// Attribute keys of this package's log lines.
const (
	keyPipeline  = "pipeline"
	keyTopic     = "topic"
	keyPartition = "partition"
	keyModel     = "model"
	keyOp        = "op"
	keyError     = "error"
	keyFrom      = "from"
	keyCommitted = "committed"
	keyScored    = "scored"
	keyFiles     = "files"
	keyRows      = "rows"
	keyFirstSlot = "first_slot"
	keyEndSlot   = "end_slot"
	keyByteSize  = "byte_size"
	keyAtMost    = "at_most"
)
