// Package delta keeps the transaction log of a Delta Lake table in a bucket, so
// that pandas, DuckDB, Spark and others read as one table what Thalweg has
// committed. It follows the published protocol (PROTOCOL.md of delta-io/delta):
// versions are objects _delta_log/<20 digits>.json, each created only if absent;
// application transactions (txn) make a batch that is tried again land once;
// checkpoints in Parquet spare readers the older versions.
//
// The package knows actions, versions and checkpoints; it knows no commit log
// and reads no data file. DESIGN.md says what it promises.
package delta

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
)

// Bounds. What lies beyond one is refused, by name, when it is made and when
// it is read.
const (
	MaxCommitBytes     = 64 << 20 // of one version's actions: other writers rewrite whole tables in one
	MaxCheckpointBytes = 1 << 30  // of one checkpoint, which is held in memory while it is read: some ten million files
	MaxSchemaFields    = 10_000
)

// The protocol that a new table asks for: version 1 of readers, which every
// reader knows, and version 2 of writers (append-only tables and column
// invariants). A table that asks for more is not written to.
const (
	readerVersion = 1
	writerVersion = 2
)

// Supported returns what this package can do, which a new table asks for.
func Supported() *Protocol {
	return &Protocol{MinReaderVersion: readerVersion, MinWriterVersion: writerVersion}
}

const logDir = "_delta_log/"

// Layout gives the objects of a table's log their keys; it is the prefix of
// the table, empty or ending in a slash.
type Layout string

// LogDir returns the prefix of the log.
func (y Layout) LogDir() string { return string(y) + logDir }

// CommitKey returns the key of a version's actions.
func (y Layout) CommitKey(version int64) string {
	return fmt.Sprintf("%s%020d.json", y.LogDir(), version)
}

// CheckpointKey returns the key of the checkpoint at a version.
func (y Layout) CheckpointKey(version int64) string {
	return fmt.Sprintf("%s%020d.checkpoint.parquet", y.LogDir(), version)
}

// LastCheckpointKey returns the key of the hint at the newest checkpoint.
func (y Layout) LastCheckpointKey() string { return y.LogDir() + "_last_checkpoint" }

// parse tells what an object of the log is. Objects that are neither a commit
// nor a checkpoint in one classic part (checksums, parts, sidecars) are not ok.
func (y Layout) parse(key string) (version int64, checkpoint, ok bool) {
	name, ok := strings.CutPrefix(key, y.LogDir())
	if !ok || len(name) < 21 {
		return 0, false, false
	}
	version, err := strconv.ParseInt(name[:20], 10, 64)
	if err != nil || version < 0 {
		return 0, false, false
	}
	switch name[20:] {
	case ".json":
		return version, false, true
	case ".checkpoint.parquet":
		return version, true, true
	}
	return 0, false, false
}

func corrupt(op, subject string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: subject, Err: err}
}
