package product

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

const (
	// DefaultRetention is how long files that a version has replaced stay for its readers.
	DefaultRetention = 10 * time.Minute
	// checkpointEvery is after how many versions the log gets a checkpoint.
	checkpointEvery = 10
)

// Contents are what a table is to have.
type Contents struct {
	Schema      *arrow.Schema
	PartitionBy string // a timestamp column, by whose UTC days files are; "" for none
	Parts       []*Part
	Now         time.Time
	NewID       string // 32 hex digits that no other attempt has
	// Retention is how long files that are in it no more stay. Default DefaultRetention.
	Retention time.Duration
}

// expired is the time before which files must have left the table to be removed.
func (c *Contents) expired() int64 {
	return c.Now.Add(-cmp.Or(c.Retention, DefaultRetention)).UnixMilli()
}

// Replace makes the parts the contents of the table, in one version of its log; there is
// none if it has them already. It returns the newest version. Files that no version within
// the retention has are removed. Conflict: somebody else replaced the contents meanwhile,
// or a later run has claimed the table.
func (t *Table) Replace(ctx context.Context, c Contents) (version int64, changed bool, err error) {
	log := delta.New(t.Bucket, t.Prefix)
	snapshot, err := log.Load(ctx)
	if err != nil {
		return 0, false, err
	}
	// After the snapshot: if a later run claims the table from here on, one of the two
	// commits first, and the other is a Conflict or replaces what it finds.
	if err = t.fence(ctx); err == nil {
		err = snapshot.Writable()
	}
	if err != nil {
		return 0, false, err
	}
	if snapshot.Version-snapshot.Checkpoint >= checkpointEvery {
		if snapshot, err = log.WriteCheckpoint(ctx, snapshot, c.expired()); err != nil {
			return 0, false, err
		}
	}
	commit, err := t.commit(ctx, log, snapshot, c)
	if err != nil {
		return 0, false, err
	}
	if version = snapshot.Version; commit != nil {
		won, _, err := log.Commit(ctx, commit)
		if err != nil {
			return 0, false, err
		}
		if !won {
			return 0, false, &thalweg.Error{Op: "replace table", Kind: thalweg.Conflict, Subject: t.String(), Err: errors.New("another writer made a version of it meanwhile")}
		}
		if err := snapshot.Apply(commit); err != nil {
			return 0, false, err
		}
		version = commit.Version
	}
	if err = t.fence(ctx); err == nil { // the files of a run that came later look like nobody's
		err = t.sweep(ctx, snapshot, c)
	}
	return version, commit != nil, err
}

// Collect removes what Replace would remove if the contents were these, and they are.
func (t *Table) Collect(ctx context.Context, c Contents) error {
	snapshot, err := delta.New(t.Bucket, t.Prefix).Load(ctx)
	if err == nil {
		err = t.fence(ctx)
	}
	if err == nil {
		err = t.sweep(ctx, snapshot, c)
	}
	return err
}

// commit returns the version that makes the parts the contents, nil if they are.
func (t *Table) commit(ctx context.Context, log *delta.Table, s *delta.Snapshot, c Contents) (*delta.Commit, error) {
	schema, err := delta.SchemaOf(c.Schema)
	if err != nil {
		return nil, err
	}
	var partitions []string
	if c.PartitionBy != "" {
		partitions = append(partitions, commitlog.PartitionColumn(c.PartitionBy))
		schema = append(schema, delta.Field{Name: partitions[0], Type: delta.Date, Nullable: true})
	}
	if schema, _, err = (delta.Schema{}).With(schema, 0); err != nil {
		return nil, err
	}
	want := make(map[string]File)
	for _, p := range c.Parts {
		for _, f := range p.Files {
			want[f.Path] = f
		}
	}
	nowMS := c.Now.UnixMilli()
	var actions []delta.Action
	switch {
	case !s.Exists():
		actions = append(actions, delta.Create(c.NewID, schema, partitions, nowMS)...)
	case s.Metadata.SchemaString != schema.String() || !slices.Equal(s.Metadata.PartitionColumns, partitions):
		metadata := s.Metadata
		metadata.SchemaString, metadata.PartitionColumns = schema.String(), partitions
		actions = append(actions, delta.Action{Metadata: &metadata})
	}
	for add, err := range log.Files(ctx, s) {
		if err != nil {
			return nil, err
		}
		if f, ok := want[add.Path]; ok && f.SizeBytes == add.Size {
			delete(want, add.Path)
			continue
		}
		actions = append(actions, delta.Action{Remove: &delta.Remove{Path: add.Path, DeletionTimestamp: nowMS, DataChange: true,
			ExtendedFileMetadata: true, PartitionValues: add.PartitionValues, Size: add.Size}})
	}
	added := slices.SortedFunc(maps.Values(want), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	for _, f := range added {
		values := map[string]*string{}
		for _, column := range partitions {
			if values[column] = nil; f.Day != commitlog.Unknown {
				values[column] = &f.Day
			}
		}
		actions = append(actions, delta.Action{Add: &delta.Add{Path: f.Path, PartitionValues: values, Size: f.SizeBytes, ModificationTime: nowMS,
			DataChange: true, Stats: fmt.Sprintf(`{"numRecords":%d}`, f.Rows)}})
	}
	if len(actions) == 0 {
		return nil, nil
	}
	info := &delta.CommitInfo{Timestamp: nowMS, Operation: "WRITE", OperationParameters: map[string]any{"mode": "Overwrite"}, EngineInfo: "thalweg", TxnID: c.NewID}
	return &delta.Commit{Version: s.Version + 1, Actions: append([]delta.Action{{CommitInfo: info}}, actions...)}, nil
}

// sweep removes files that are not in the table, but for those that left it within the
// retention, and what is known of other parts.
func (t *Table) sweep(ctx context.Context, s *delta.Snapshot, c Contents) error {
	live := make(map[string]bool)
	for _, p := range c.Parts {
		for _, f := range p.Files {
			live[f.Path] = true
		}
	}
	for gone, err := range delta.New(t.Bucket, t.Prefix).Removed(ctx, s) {
		if err != nil {
			return err
		}
		if gone.DeletionTimestamp > c.expired() {
			live[gone.Path] = true
		}
	}
	if _, err := storage.Remove(ctx, t.Bucket, t.Prefix+dataDir, func(key string) bool { return !live[key[len(t.Prefix):]] }); err != nil {
		return err
	}
	known := names(c.Parts)
	for _, dir := range []string{partsDir, RejectsDir} {
		if _, err := storage.Remove(ctx, t.Bucket, t.Prefix+dir, func(key string) bool {
			name, _, _ := strings.Cut(strings.TrimSuffix(path.Base(key), path.Ext(key)), "-")
			_, found := slices.BinarySearch(known, name)
			return !found
		}); err != nil {
			return err
		}
	}
	return nil
}
