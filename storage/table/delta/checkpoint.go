package delta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/parquet/guard"
)

// lastCheckpoint is the hint at the newest checkpoint.
type lastCheckpoint struct {
	Version  int64  `json:"version"`
	Size     int64  `json:"size"`
	Parts    *int64 `json:"parts,omitempty"`
	Bytes    int64  `json:"sizeInBytes,omitempty"`
	AddFiles int64  `json:"numOfAddFiles,omitempty"`

	Tags map[string]string `json:"tags,omitempty"`
}

// sumTag is the tag of the hint that has the checkpoint's sha256.
const sumTag = "thalweg.sha256"

// maxHintBytes bounds the hint: with the checkpoint's schema, which some
// writers put there, it has some kilobytes.
const maxHintBytes = 4 << 20

// lastCheckpoint returns the hint at the newest checkpoint, of version -1 if
// there is none that helps. A hint is only that: a damaged one costs a longer
// listing.
func (t *Table) lastCheckpoint(ctx context.Context) (lastCheckpoint, error) {
	none := lastCheckpoint{Version: -1}
	data, err := t.get(ctx, t.layout.LastCheckpointKey(), maxHintBytes)
	if err != nil && !thalweg.Is(err, thalweg.NotFound) && !thalweg.Is(err, thalweg.Corrupt) {
		return none, err
	}
	hint := none
	if err != nil || json.Unmarshal(data, &hint) != nil || hint.Parts != nil || hint.Version < 0 {
		return none, nil
	}
	return hint, nil
}

// checkpoint returns a checkpoint's bytes. Where the hint is of the same version
// and has a sum, they have it.
func (t *Table) checkpoint(ctx context.Context, version int64) ([]byte, error) {
	key := t.layout.CheckpointKey(version)
	for range 1 + storage.Rereads {
		data, err := t.get(ctx, key, MaxCheckpointBytes)
		if err != nil {
			return nil, err
		}
		hint, err := t.lastCheckpoint(ctx)
		if err != nil {
			return nil, err
		}
		if want := hint.Tags[sumTag]; hint.Version != version || want == "" || want == storage.SHA256(data) {
			return data, nil
		}
	}
	return nil, corrupt("read checkpoint", key, errors.New("its bytes do not have the sum that _last_checkpoint gives"))
}

// rows yields the rows of a checkpoint. Other writers' files have more columns
// than ours, and may be damaged.
func (t *Table) rows(ctx context.Context, version int64) iter.Seq2[*Action, error] {
	key := t.layout.CheckpointKey(version)
	return func(yield func(*Action, error) bool) {
		data, err := t.checkpoint(ctx, version)
		if err != nil {
			yield(nil, err)
			return
		}
		file, err := guard.Open(data)
		if err != nil {
			yield(nil, corrupt("read checkpoint", key, err))
			return
		}
		for row, err := range guard.Rows[Action](file) {
			switch {
			case ctx.Err() != nil:
				err = &thalweg.Error{Op: "read checkpoint", Kind: thalweg.Canceled, Subject: key, Err: context.Cause(ctx)}
			case err != nil:
				err = corrupt("read checkpoint", key, err)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// readCheckpoint returns the snapshot at a checkpoint.
func (t *Table) readCheckpoint(ctx context.Context, version int64) (*Snapshot, error) {
	key := t.layout.CheckpointKey(version)
	s := NewSnapshot()
	s.Version, s.Checkpoint = version, version
	for row, err := range t.rows(ctx, version) {
		if err != nil {
			return nil, err
		}
		switch {
		case row.Protocol != nil:
			s.Protocol = *row.Protocol
		case row.Metadata != nil:
			s.Metadata = row.Metadata.withDefaults()
		case row.Txn != nil:
			s.Txns[row.Txn.AppID] = row.Txn.Version
		case row.Add != nil:
			s.CheckpointFiles++
		}
	}
	a := Action{Protocol: &s.Protocol, Metadata: &s.Metadata}
	if err := a.validate(); err != nil {
		return nil, corrupt("read checkpoint", key, err)
	}
	var err error
	if s.Schema, err = ParseSchema(s.Metadata.SchemaString); err != nil {
		return nil, corrupt("read checkpoint", key, err)
	}
	return s, nil
}

// changes yields what a snapshot knows of files, live ones and removed ones:
// first those of its checkpoint that have not changed since.
func (t *Table) changes(ctx context.Context, s *Snapshot) iter.Seq2[Action, error] {
	return func(yield func(Action, error) bool) {
		if s.Checkpoint >= 0 {
			for row, err := range t.rows(ctx, s.Checkpoint) {
				if err != nil {
					yield(Action{}, err)
					return
				}
				if row.Add == nil && row.Remove == nil {
					continue
				}
				if _, changed := s.Recent[row.path()]; !changed && !yield(*row, nil) {
					return
				}
			}
		}
		for _, path := range slices.Sorted(maps.Keys(s.Recent)) {
			if !yield(s.Recent[path], nil) {
				return
			}
		}
	}
}

// Files yields the live files of a snapshot, those of its checkpoint first.
func (t *Table) Files(ctx context.Context, s *Snapshot) iter.Seq2[*Add, error] {
	return func(yield func(*Add, error) bool) {
		for a, err := range t.changes(ctx, s) {
			if (err != nil || a.Add != nil) && !yield(a.Add, err) {
				return
			}
		}
	}
}

// Removed yields the tombstones of a snapshot, those of its checkpoint first: what was
// removed since and, as far as they had not expired when it was written, before.
func (t *Table) Removed(ctx context.Context, s *Snapshot) iter.Seq2[*Remove, error] {
	return func(yield func(*Remove, error) bool) {
		for a, err := range t.changes(ctx, s) {
			if (err != nil || a.Remove != nil) && !yield(a.Remove, err) {
				return
			}
		}
	}
}

// WriteCheckpoint writes the checkpoint of a snapshot and the hint at it, and
// returns the snapshot based on it. Tombstones older than expired (ms since
// 1970 UTC) are left out. The checkpoint before is read row by row, so that only
// its bytes and those of the new one are in memory. Several writers may do it at
// once: what they write is the same state.
func (t *Table) WriteCheckpoint(ctx context.Context, s *Snapshot, expired int64) (*Snapshot, error) {
	key := t.layout.CheckpointKey(s.Version)
	var out bytes.Buffer
	w := parquet.NewGenericWriter[Action](&out, parquet.Compression(&snappy.Codec{}), parquet.MaxRowsPerRowGroup(100_000), parquet.CreatedBy("thalweg", "", ""))
	var n, live int64
	for row, err := range t.checkpointRows(ctx, s, expired) {
		if err == nil && out.Len() > MaxCheckpointBytes {
			err = &thalweg.Error{Op: "write checkpoint", Kind: thalweg.Exhausted, Subject: key, Err: fmt.Errorf("beyond %d bytes after %d files", MaxCheckpointBytes, live),
				Hint: "let the pipeline compact its files (spec.scoring.sink.compaction)"}
		}
		if err == nil {
			_, err = w.Write([]Action{row})
		}
		if err != nil {
			return nil, err
		}
		n++
		if row.Add != nil {
			live++
		}
	}
	if err := w.Close(); err != nil {
		return nil, &thalweg.Error{Op: "write checkpoint", Subject: key, Err: err}
	}
	body := out.Bytes()
	_, err := t.bucket.PutIfAbsent(ctx, key, body)
	if thalweg.Is(err, thalweg.Exists) { // by whoever was first, and it is the same state
		body, err = t.get(ctx, key, MaxCheckpointBytes)
	}
	if err != nil {
		return nil, err
	}
	hint, err := json.Marshal(lastCheckpoint{Version: s.Version, Size: n, Bytes: int64(len(body)), AddFiles: live,
		Tags: map[string]string{sumTag: storage.SHA256(body)}})
	if err != nil {
		return nil, &thalweg.Error{Op: "write checkpoint", Subject: key, Err: err}
	}
	if _, err := t.bucket.Put(ctx, t.layout.LastCheckpointKey(), hint); err != nil {
		return nil, err
	}
	next := s.Clone()
	next.Checkpoint, next.CheckpointFiles = s.Version, live
	clear(next.Recent)
	return next, nil
}

// checkpointRows yields every row of a snapshot's checkpoint, in an order that
// follows from the log alone.
func (t *Table) checkpointRows(ctx context.Context, s *Snapshot, expired int64) iter.Seq2[Action, error] {
	return func(yield func(Action, error) bool) {
		first := []Action{{Protocol: &s.Protocol}, {Metadata: &s.Metadata}}
		for _, app := range slices.Sorted(maps.Keys(s.Txns)) {
			first = append(first, Action{Txn: &Txn{AppID: app, Version: s.Txns[app]}})
		}
		for _, r := range first {
			if !yield(r, nil) {
				return
			}
		}
		for a, err := range t.changes(ctx, s) {
			switch { // a checkpoint is no change of data
			case err != nil:
			case a.Add != nil:
				add := *a.Add
				add.DataChange, a.Add = false, &add
			case a.Remove.DeletionTimestamp < expired:
				continue
			default:
				remove := *a.Remove
				remove.DataChange, a.Remove = false, &remove
			}
			if !yield(a, err) {
				return
			}
		}
	}
}
