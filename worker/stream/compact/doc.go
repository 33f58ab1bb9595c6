// Package compact makes few large files of the many small ones that a stream
// leaves. A Planner decides which, Files merges them, a Sweeper deletes what was
// merged; the scorer of the partition commits it by a slot of the log.
package compact
