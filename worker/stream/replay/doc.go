// Package replay scores a stretch of a topic again, beside the live stream and
// without touching it, and tells how two sets of scored rows differ.
//
// A replay is pinned by one object, Name, at the root of its own prefix: which
// offsets of which partitions, which model version byte for byte, at what time.
// Everything else follows from it, so a replay that was killed is resumed
// by running it again. The rows are made by worker/stream/scorer under commit logs of
// the replay's own; no group offset is written and nothing of the live stream is
// opened for writing. Diff reads both sets in the order of offsets.
package replay
