// Package commitlog keeps, per sink, topic and partition, an append-if-next
// log of small objects in a bucket. It is how every event of a topic becomes
// exactly one row although processes die, stall and come back: a slot of the
// log is claimed by an Intent that pins an offset range to a model version,
// the rows are published under names that follow from the intent alone, and a
// Done record says what they are. Records are created only if absent and never
// overwritten; each carries the hash of the one before.
//
// The package knows objects, offsets and hashes; it knows no model, no Parquet
// and no Kafka. DESIGN.md states the formats and what readers may rely on.
package commitlog
