package membership

// The attribute keys of the log.
const (
	keyAddress = "address"
	keyError   = "error"
	keyMember  = "member"
	keyReason  = "reason"
)
