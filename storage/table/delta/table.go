package delta

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
)

// Table is the log of one table. It holds no state and may be used by any
// number of goroutines and processes at once.
type Table struct {
	bucket storage.Bucket
	layout Layout
}

// New returns the table under a prefix, which is empty or ends in a slash. It need
// not exist yet.
func New(bucket storage.Bucket, prefix string) *Table {
	return &Table{bucket: bucket, layout: Layout(prefix)}
}

// Read returns what has changed with a version; NotFound if there is no such
// version yet.
func (t *Table) Read(ctx context.Context, version int64) (*Commit, error) {
	key := t.layout.CommitKey(version)
	var damage error
	for range 1 + storage.Rereads {
		data, err := t.get(ctx, key, MaxCommitBytes)
		if err != nil {
			return nil, err
		}
		c, err := DecodeCommit(version, data)
		if err == nil {
			return c, nil
		}
		damage = err
	}
	return nil, &thalweg.Error{Op: "read table", Kind: thalweg.Corrupt, Subject: key, Err: damage,
		Hint: "a writer of the table damaged its log: restore the object"}
}

// get reads an object of at most limit bytes. It asks for the size first, so that
// no object that others wrote decides what is allocated.
func (t *Table) get(ctx context.Context, key string, limit int64) ([]byte, error) {
	info, err := t.bucket.Head(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.SizeBytes > limit {
		return nil, corrupt("read table", key, fmt.Errorf("%d bytes, at most %d are read", info.SizeBytes, limit))
	}
	data := make([]byte, info.SizeBytes)
	if err := t.bucket.GetRange(ctx, key, 0, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Commit tries once to make c the table's next version: its caller tries again
// without end, and layers that all repeat multiply. Its first action must be a
// CommitInfo with a TxnID that no other attempt has. It returns whether c is the
// version, or else the commit that is.
//
// After Unavailable or Canceled the commit may still take effect: read the
// version before anything else.
func (t *Table) Commit(ctx context.Context, c *Commit) (won bool, winner *Commit, err error) {
	key := t.layout.CommitKey(c.Version)
	id := c.TxnID()
	if id == "" || c.Version < 0 {
		return false, nil, &thalweg.Error{Op: "commit to table", Kind: thalweg.Invalid, Subject: key, Err: errors.New("the commit has no txnId, or no version")}
	}
	body, err := c.Encode()
	if err != nil {
		return false, nil, err
	}
	err = storage.Create(ctx, t.bucket, retry.Policy{Attempts: 1}, "commit to table", key, body, func() (err error) {
		winner, err = t.Read(ctx, c.Version)
		return err
	})
	if err != nil || winner == nil || winner.TxnID() == id { // an id tells ours, which an earlier try made, from another's
		return err == nil, nil, err
	}
	return false, winner, nil
}

// Load reads the newest snapshot: the newest checkpoint that can be read, and
// the versions after it. Corrupt where a version is missing between those that
// are there.
func (t *Table) Load(ctx context.Context) (*Snapshot, error) {
	hint, err := t.lastCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	s, err := t.loadFrom(ctx, hint.Version)
	if hint.Version >= 0 && thalweg.Is(err, thalweg.NotFound) { // the checkpoint that the hint names is gone: look for any
		return t.loadFrom(ctx, -1)
	}
	return s, err
}

// loadFrom lists the log from the hinted checkpoint on, which need not be the
// newest.
func (t *Table) loadFrom(ctx context.Context, hint int64) (*Snapshot, error) {
	after := t.layout.LogDir()
	if hint >= 0 {
		after = t.layout.CommitKey(hint) // sorts after the checkpoint of the same version
	}
	checkpoint, newest, first := hint, hint, int64(-1)
	for info, err := range t.bucket.List(ctx, t.layout.LogDir(), after) {
		if err != nil {
			return nil, err
		}
		version, isCheckpoint, ok := t.layout.parse(info.Key)
		switch {
		case !ok:
		case isCheckpoint:
			checkpoint = max(checkpoint, version)
		default:
			newest = max(newest, version)
			if first < 0 {
				first = version
			}
		}
	}
	s := NewSnapshot()
	if checkpoint >= 0 {
		var err error
		if s, err = t.readCheckpoint(ctx, checkpoint); err != nil {
			return nil, err
		}
	} else if first > 0 {
		return nil, corrupt("read table", t.layout.CommitKey(0), errors.New("the version is missing, and there is no checkpoint in one part"))
	}
	return s, t.Follow(ctx, s, max(newest, s.Version))
}

// Follow applies the versions after the snapshot's up to the version to, which
// must exist, and those beyond it that do.
func (t *Table) Follow(ctx context.Context, s *Snapshot, to int64) error {
	for {
		c, err := t.Read(ctx, s.Version+1)
		if thalweg.Is(err, thalweg.NotFound) {
			if s.Version >= to {
				return nil
			}
			return corrupt("read table", t.layout.CommitKey(s.Version+1), errors.New("the version is missing, but later ones exist"))
		}
		if err != nil {
			return err
		}
		if err := s.Apply(c); err != nil {
			return err
		}
	}
}
