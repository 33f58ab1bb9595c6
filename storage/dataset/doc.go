// Package dataset reads and writes tables at rest: Parquet objects in a
// bucket on one side, Arrow record batches on the other. Of CSV and JSON lines it
// reads records, which are decoded elsewhere.
//
// Discover turns a pattern into a Manifest: the objects, their row groups and
// the shards that tasks work on. OpenShard reads one shard, batch by batch.
// NewWriter writes batches as Parquet whose bytes depend on nothing but the
// rows and the configuration. DiscoverText and OpenText do for text what Discover
// and OpenShard do for Parquet.
//
// Batches read have the natural Arrow type of each Parquet column (see
// DESIGN.md for the table); strings are dictionary<int32, utf8> so that later
// steps work once per distinct value and not once per row.
package dataset
