package raftnode

import (
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/thalweg/thalweg"
)

const (
	// snapshotsDir is raft's name for it.
	snapshotsDir = "snapshots"
	// keptSnapshots: the newest, and the one before until log.db knows the newest.
	keptSnapshots = 2
)

// snapshots are raft's, of which log.db knows the newest. The log was cut behind
// that one, so no older one can stand in for it.
type snapshots struct {
	files *raft.FileSnapshotStore
	dir   string
	log   *store
}

var _ raft.SnapshotStore = (*snapshots)(nil)

// openSnapshots checks the snapshots that are there against the log's head, and
// removes what a crash left behind.
func openSnapshots(dir string, log *store, logger hclog.Logger) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, logger)
	if err != nil {
		return nil, err
	}
	s := &snapshots{files, filepath.Join(dir, snapshotsDir), log}
	h, err := log.head()
	if err != nil {
		return nil, err
	}
	if h.Snapshot != nil {
		_, body, err := s.Open(h.Snapshot.ID)
		if err != nil {
			return nil, err
		}
		if err := body.Close(); err != nil {
			return nil, err
		}
	}
	there, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, d := range there {
		var term, index uint64
		path := filepath.Join(s.dir, d.Name())
		switch _, err := fmt.Sscanf(d.Name(), "%d-%d-", &term, &index); {
		case strings.HasSuffix(d.Name(), ".tmp") || d.Name() == h.Writing:
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
		case err == nil && (h.Snapshot == nil || index > h.Snapshot.Index):
			return nil, s.damaged(path, errors.New("log.db does not know this snapshot: it is older than that, or another node's"))
		}
	}
	return s, nil
}

// Create begins a snapshot, or one that the leader sends. log.db knows of it
// beforehand, so that a crash is told from a log.db that was put back.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration,
	membersIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	to, err := s.files.Create(version, index, term, members, membersIndex, trans)
	if err != nil {
		return nil, err
	}
	if err := s.log.update("begin snapshot", func(_ *bbolt.Tx, h *head) error {
		h.Writing = to.ID()
		return nil
	}); err != nil {
		return nil, errors.Join(err, to.Cancel())
	}
	return &snapshotSink{to, s, index}, nil
}

// List returns the newest snapshot, if there is one.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	h, err := s.log.head()
	if err != nil || h.Snapshot == nil {
		return nil, err
	}
	meta, body, err := s.Open(h.Snapshot.ID)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, body.Close()
}

// Open returns the newest snapshot after its bytes were verified.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	h, err := s.log.head()
	if err != nil {
		return nil, nil, err
	}
	if h.Snapshot == nil || h.Snapshot.ID != id {
		return nil, nil, fmt.Errorf("snapshot %s is no longer the newest", id)
	}
	sum, path, err := s.sumOfMeta(id)
	if err == nil && sum != h.Snapshot.Sum {
		err = errors.New("its bytes are not those that were written")
	}
	if err != nil {
		return nil, nil, s.damaged(path, err)
	}
	meta, body, err := s.files.Open(id)
	if err != nil {
		return nil, nil, s.damaged(filepath.Join(s.dir, id, "state.bin"), err)
	}
	return meta, body, nil
}

func (s *snapshots) sumOfMeta(id string) (sum uint64, path string, err error) {
	path = filepath.Join(s.dir, id, "meta.json")
	data, err := os.ReadFile(path)
	return crc64.Checksum(data, sumTable), path, err
}

// damaged ends the node and returns why.
func (s *snapshots) damaged(path string, err error) error {
	err = &thalweg.Error{Op: "read raft snapshot", Kind: thalweg.Corrupt, Subject: path, Hint: s.log.hint, Err: err}
	s.log.fail(err)
	return err
}

// snapshotSink writes one snapshot.
type snapshotSink struct {
	raft.SnapshotSink
	of    *snapshots
	index uint64
}

// Close makes the snapshot the newest.
func (s *snapshotSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	sum, _, err := s.of.sumOfMeta(s.ID())
	if err != nil {
		return err
	}
	return s.of.log.update("end snapshot", func(_ *bbolt.Tx, h *head) error {
		h.Snapshot, h.Writing = &snapshotRef{ID: s.ID(), Index: s.index, Sum: sum}, ""
		return nil
	})
}
